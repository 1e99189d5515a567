package engine

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/engine/spread"
)

// Why a partition was handed over.
const (
	movedForSpread  = "spread"
	movedForLeaving = "leaving"
)

type spreadMetrics struct {
	leads             *prometheus.GaugeVec
	alive, unevenness prometheus.Gauge
	moves             *prometheus.CounterVec
}

func newSpreadMetrics(reg prometheus.Registerer) *spreadMetrics {
	m := &spreadMetrics{
		leads: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairgate_processor_leads", Help: "Partitions of a log that this processor leads.",
		}, []string{"log"}),
		alive: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairgate_processor_alive", Help: "Processors alive, as this one sees it.",
		}),
		unevenness: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairgate_processor_unevenness",
			Help: "Largest difference between what two processors lead of one log, as this one sees it; 1 or less is even.",
		}),
		moves: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_processor_handovers_total",
			Help: "Partitions this processor handed over: spread, because another led less; leaving, because it stopped.",
		}, []string{"why"}),
	}
	for _, why := range []string{movedForSpread, movedForLeaving} {
		m.moves.WithLabelValues(why)
	}
	if reg != nil {
		reg.MustRegister(m.leads, m.alive, m.unevenness, m.moves)
	}
	return m
}

// led shows what this processor leads, 0 for a log of which it leads nothing.
func (m *spreadMetrics) led(all, leads []string) {
	counts := map[string]int{}
	for _, name := range all {
		n := 0
		if slices.Contains(leads, name) {
			n = 1
		}
		counts[spread.LogOf(name)] += n
	}
	for log, n := range counts {
		m.leads.WithLabelValues(log).Set(float64(n))
	}
}

func (m *spreadMetrics) seen(members []spread.Member) {
	m.alive.Set(float64(len(members)))
	m.unevenness.Set(float64(spread.Unevenness(members)))
}
