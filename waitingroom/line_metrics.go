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
	invited, admitted, gone, missed, showUp         *prometheus.Desc
	estimates, waited, off                          *prometheus.Desc
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
		gone:       desc("left_total", "Places given up by their owners since this edge started."),
		missed:     desc("missed_total", "Turns missed for good since this edge started."),
		showUp:     desc("show_up_ratio", "Share of the invited who come, as measured by the outflow law; 0 before it was."),
		estimates: prometheus.NewDesc("fairgate_queue_estimates_total", "Estimates shown, held against the invitation that they were "+
			"of, by result: within the band, early or late.", []string{"room", "result"}, nil),
		waited: desc("estimated_wait_seconds_total", "Sum of the waits that those estimates were of."),
		off:    desc("estimate_error_seconds_total", "Sum of how far those waits were from the middle of their bands."),
	}
}

// Describe is prometheus.Collector.
func (m *lineMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.open, m.joined, m.waiting, m.inside, m.left, m.documentAt, m.invited, m.admitted,
		m.gone, m.missed, m.showUp, m.estimates, m.waited, m.off} {
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
		moved, kept := m.edge.heard.moved(d.Room), m.edge.docs.kept.Of(d.Room)
		for result, n := range map[string]uint64{"within": kept.Within, "early": kept.Early, "late": kept.Late} {
			to <- prometheus.MustNewConstMetric(m.estimates, prometheus.CounterValue, float64(n), room, result)
		}
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
			{m.invited, prometheus.CounterValue, float64(moved.invited)},
			{m.admitted, prometheus.CounterValue, float64(moved.admitted)},
			{m.gone, prometheus.CounterValue, float64(moved.left)},
			{m.missed, prometheus.CounterValue, float64(moved.missed)},
			{m.showUp, prometheus.GaugeValue, float64(d.ShowUp) / 1000},
			{m.waited, prometheus.CounterValue, float64(kept.Waited) / 1e6},
			{m.off, prometheus.CounterValue, float64(kept.Off) / 1e6},
		} {
			to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.value, room)
		}
	}
}
