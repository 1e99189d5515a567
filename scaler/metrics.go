package scaler

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are labelled by role, a set closed by the rules.
type metrics struct {
	wanted    *prometheus.GaugeVec
	decisions *prometheus.CounterVec
	failures  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (metrics, error) {
	m := metrics{
		wanted: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairgate_scaler_wanted_replicas", Help: "Replicas that the last decision wants.",
		}, []string{"role"}),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_scaler_decisions_total", Help: "Decisions by what they do: up, down or keep.",
		}, []string{"role", "action"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_scaler_failures_total", Help: "Rounds in which a role could not be measured or scaled.",
		}, []string{"role"}),
	}
	for _, c := range []prometheus.Collector{m.wanted, m.decisions, m.failures} {
		if err := r.Register(c); err != nil {
			return metrics{}, fmt.Errorf("register scaler metrics: %w", err)
		}
	}
	return m, nil
}

func (m metrics) record(d Decision) {
	action := "keep"
	if d.Replicas > d.Current {
		action = "up"
	} else if d.Moves() {
		action = "down"
	}
	m.decisions.WithLabelValues(d.Role, action).Inc()
	m.wanted.WithLabelValues(d.Role).Set(float64(d.Replicas))
}
