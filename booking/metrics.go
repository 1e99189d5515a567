package booking

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what a dashboard needs beside the shell's histograms.
type metrics struct {
	commands *prometheus.CounterVec
	searches *prometheus.CounterVec
	receipts *prometheus.CounterVec
}

// newMetrics registers fairgate_booking_commands_total{command,answer}, fairgate_booking_searches_total{from} and
// fairgate_booking_receipts_total{result}.
func newMetrics(r prometheus.Registerer) *metrics {
	return &metrics{
		commands: counter(r, "fairgate_booking_commands_total", "Commands of fans by what the log answered.", "command", "answer"),
		searches: counter(r, "fairgate_booking_searches_total", "Event searches by what answered them: redis, postgres.", "from"),
		receipts: counter(r, "fairgate_booking_receipts_total", "Receipts asked for: signed, or missing because the log could not be read.", "result"),
	}
}

// counter registers a counter, or takes over the equal one of another role in this process.
func counter(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return same
		}
	}
	if err != nil {
		panic("booking: register metrics: " + err.Error())
	}
	return c
}
