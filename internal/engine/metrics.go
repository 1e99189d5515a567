package engine

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	role, epoch, offset, seq, backlog, bound, outage prometheus.Gauge
	lag, logTime                                     prometheus.Gauge
	records, outcomes, resent, terms                 prometheus.Counter
	snapshots, snapshotFailures, snapshotsUnfit      prometheus.Counter
	rejected                                         prometheus.Counter
	apply                                            prometheus.Histogram

	shown int64 // rejections in the counter
}

func newMetrics(reg prometheus.Registerer, topic string, partition int32) *metrics {
	labels := prometheus.Labels{"topic": topic, "partition": strconv.Itoa(int(partition))}
	var all []prometheus.Collector
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "fairgate_engine_" + name, Help: help, ConstLabels: labels})
		all = append(all, g)
		return g
	}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "fairgate_engine_" + name, Help: help, ConstLabels: labels})
		all = append(all, c)
		return c
	}
	m := &metrics{
		role:             gauge("role", "0 standby, 1 electing, 2 leading."),
		epoch:            gauge("epoch", "Epoch of the log."),
		offset:           gauge("next_offset", "Offset of the next record to apply."),
		seq:              gauge("sequence", "Number of the last outcome derived."),
		backlog:          gauge("backlog_bytes", "Outcomes derived and not yet read back."),
		bound:            gauge("clock_bound_seconds", "Error bound of room time."),
		outage:           gauge("outage_seconds", "Sum of the outages that the log has recorded."),
		lag:              gauge("lag_records", "Records of the log not yet applied."),
		logTime:          gauge("log_time_seconds", "Instant of the newest tick applied, in Unix time; 0 before the first."),
		records:          counter("records_total", "Records applied."),
		outcomes:         counter("outcomes_emitted_total", "Outcomes acknowledged to this leader."),
		resent:           counter("batches_resent_total", "Batches of outcomes sent again after a failure."),
		terms:            counter("terms_total", "Terms this replica began to lead."),
		snapshots:        counter("snapshots_total", "Snapshots this replica took that count."),
		rejected:         counter("rejected_total", "Records applied that were rejected: bytes that make no sense, terms and commands that are over."),
		snapshotFailures: counter("snapshot_failures_total", "Snapshots that failed."),
		snapshotsUnfit:   counter("snapshots_unfit_total", "Snapshots that did not fit at start: damaged, or of other code."),
	}
	m.apply = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "fairgate_engine_apply_seconds", Help: "Time to apply one batch of records.", ConstLabels: labels,
		Buckets: []float64{.00005, .0002, .001, .005, .02, .1, .5, 2},
	})
	all = append(all, m.apply)
	if reg != nil {
		reg.MustRegister(all...)
	}
	return m
}

func (m *metrics) show(r *Replica, bound, end int64) {
	clock := r.core.Clock()
	m.role.Set(float64(r.Role()))
	m.epoch.Set(float64(clock.Epoch))
	m.offset.Set(float64(r.core.Next()))
	m.seq.Set(float64(r.core.Seq()))
	m.backlog.Set(float64(r.backlog.bytes))
	m.bound.Set(float64(bound) / 1e6)
	m.outage.Set(float64(clock.Outage) / 1e6)
	m.logTime.Set(float64(clock.Now) / 1e6)
	m.rejected.Add(float64(r.backlog.rejected - m.shown))
	m.shown = r.backlog.rejected
	m.lag.Set(float64(max(0, end-r.core.Next())))
}
