package eventlog

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one Log. Labels are topics (a handful) and fixed words.
type metrics struct {
	calls    *prometheus.HistogramVec
	records  *prometheus.CounterVec
	bytes    *prometheus.CounterVec
	failures *prometheus.CounterVec
	refused  *prometheus.CounterVec
	queued   *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	topic := []string{"topic"}
	way := []string{"topic", "way"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairgate_eventlog_" + name, Help: help}, labels)
	}
	m := &metrics{
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fairgate_eventlog_produce_seconds",
			Help:    "Duration of produce calls, failed ones included.",
			Buckets: []float64{.001, .002, .004, .008, .016, .032, .064, .128, .25, .5, 1, 2},
		}, topic),
		records:  counter("records_total", "Records acknowledged (way=append) or read (way=read).", way),
		bytes:    counter("bytes_total", "Value bytes acknowledged (way=append) or read (way=read).", way),
		failures: counter("failures_total", "Failed calls to brokers, before any retry.", way),
		refused:  counter("refused_total", "Records refused because the queue was full.", topic),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairgate_eventlog_queued_records", Help: "Records waiting to be appended.",
		}, topic),
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(
		share(reg, &m.calls), share(reg, &m.records), share(reg, &m.bytes),
		share(reg, &m.failures), share(reg, &m.refused), share(reg, &m.queued),
	)
}

// share registers *c, or replaces it by its twin that another Log of the same
// process has registered.
func share[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	var already prometheus.AlreadyRegisteredError
	if errors.As(err, &already) {
		if twin, ok := already.ExistingCollector.(C); ok {
			*c = twin
			return nil
		}
	}
	return err
}

func (m *metrics) produced(topic string, records, size int, took time.Duration, err error) {
	m.calls.WithLabelValues(topic).Observe(took.Seconds())
	if err != nil {
		m.failures.WithLabelValues(topic, "append").Inc()
		return
	}
	m.records.WithLabelValues(topic, "append").Add(float64(records))
	m.bytes.WithLabelValues(topic, "append").Add(float64(size - records*recordOverhead))
}

func (m *metrics) read(topic string, records, size int) {
	m.records.WithLabelValues(topic, "read").Add(float64(records))
	m.bytes.WithLabelValues(topic, "read").Add(float64(size))
}
