package waitingroom

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	arrivals    prometheus.Counter
	joins       *prometheus.CounterVec
	refused     *prometheus.CounterVec
	asks        *prometheus.CounterVec
	joinSeconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, e *Edge) (metrics, error) {
	m := metrics{
		arrivals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairgate_room_arrivals_total", Help: "Challenges given out, renewals not counted.",
		}),
		joins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_room_joins_total", Help: "Joins by result: recorded, not-recorded, kept.",
		}, []string{"result"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_room_refused_total", Help: "Joins refused by the edge, by what was wrong: challenge, work.",
		}, []string{"reason"}),
		asks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_room_asks_total", Help: "Asks by result: asked, admitted, refused, unanswered.",
		}, []string{"result"}),
		joinSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fairgate_room_join_seconds", Help: "Time until a join was recorded.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2},
		}),
	}
	if reg == nil {
		return m, nil
	}
	bound := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fairgate_room_clock_bound_seconds", Help: "Published error bound of room time on this edge.",
	}, func() float64 {
		_, bound := e.deps.RoomTime()
		return float64(bound) / 1e6
	})
	bad := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "fairgate_room_documents_unreadable_total", Help: "Queue documents that could not be read.",
	}, func() float64 { return float64(e.docs.bad.Load()) })
	for _, c := range []prometheus.Collector{m.arrivals, m.joins, m.refused, m.asks, m.joinSeconds, bound, bad, newLineMetrics(e)} {
		if err := reg.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}
