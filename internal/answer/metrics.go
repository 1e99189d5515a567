package answer

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	wait prometheus.Histogram
	late prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, topic string) metrics {
	labels := prometheus.Labels{"topic": topic}
	m := metrics{
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "fairgate_answer_seconds", ConstLabels: labels,
			Help:    "Time from producing a command to its outcome, as its sender sees it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairgate_answer_late_total", ConstLabels: labels,
			Help: "Commands whose outcome did not come while their sender waited.",
		}),
	}
	if reg != nil {
		reg.MustRegister(m.wait, m.late)
	}
	return m
}
