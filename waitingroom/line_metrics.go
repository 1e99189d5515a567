package waitingroom

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/wire"
)

// lineMetrics shows the lines as this edge knows them: numbers of the newest queue document, and what was heard since the
// edge started. Every edge shows the same, so whoever sums over edges takes the greatest. A closed or ended room with
// nobody in it is left out; there are at most MaxRooms.
type lineMetrics struct {
	edge                                            *Edge
	open, joined, waiting, inside, left, documentAt *prometheus.Desc
	invited, admitted                               *prometheus.Desc
}

func newLineMetrics(e *Edge) *lineMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("fairgate_queue_"+name, help, []string{"room"}, nil)
	}
	return &lineMetrics{
		edge:       e,
		open:       desc("open", "1 while the room invites, else 0."),
		joined:     desc("joined", "Places ever recorded."),
		waiting:    desc("waiting", "Places not yet admitted, missed or gone."),
		inside:     desc("inside", "Visitors with a pass that is not used up."),
		left:       desc("tickets_left", "Free tickets behind the room; -1 while unknown."),
		documentAt: desc("document_time_seconds", "Log time of the newest queue document, in Unix time."),
		invited:    desc("invited_total", "Places invited since this edge started."),
		admitted:   desc("admitted_total", "Places admitted since this edge started."),
	}
}

// Describe is prometheus.Collector.
func (m *lineMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.open, m.joined, m.waiting, m.inside, m.left, m.documentAt, m.invited, m.admitted} {
		to <- d
	}
}

// Collect is prometheus.Collector.
func (m *lineMetrics) Collect(to chan<- prometheus.Metric) {
	for _, d := range m.edge.docs.all() {
		idle := d.State == wire.RoomClosed.String() || d.State == wire.RoomEnded.String()
		if idle && d.Waiting == 0 && d.Inside == 0 {
			continue
		}
		room := strconv.FormatInt(d.Room, 10)
		var open float64
		if d.State == wire.RoomOpen.String() {
			open = 1
		}
		invited, admitted := m.edge.heard.moved(d.Room)
		for _, v := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value float64
		}{
			{m.open, prometheus.GaugeValue, open},
			{m.joined, prometheus.GaugeValue, float64(d.Joined)},
			{m.waiting, prometheus.GaugeValue, float64(d.Waiting)},
			{m.inside, prometheus.GaugeValue, float64(d.Inside)},
			{m.left, prometheus.GaugeValue, float64(d.Left)},
			{m.documentAt, prometheus.GaugeValue, float64(d.At) / 1e6},
			{m.invited, prometheus.CounterValue, float64(invited)},
			{m.admitted, prometheus.CounterValue, float64(admitted)},
		} {
			to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.value, room)
		}
	}
}
