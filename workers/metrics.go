package workers

import (
	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/payment"
	"fairgate/internal/store"
)

// metrics of the role. Labels come from closed sets: the kinds of obligations and fixed words.
type metrics struct {
	webhooks *prometheus.CounterVec
	enqueue  *prometheus.CounterVec
	tasks    *prometheus.CounterVec
	loops    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	pending  *prometheus.GaugeVec
	dead     *prometheus.GaugeVec
	oldest   *prometheus.GaugeVec
	off      *prometheus.GaugeVec
	trouble  *prometheus.GaugeVec
	inbox    prometheus.Gauge
	inboxAge prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		webhooks: counter("fairgate_webhooks_total", "Webhook calls by what became of them.", "result"),
		enqueue:  counter("fairgate_workers_enqueued_total", "Tasks handed to asynq.", "result"),
		tasks:    counter("fairgate_workers_tasks_total", "Tasks by kind and result.", "kind", "result"),
		loops:    counter("fairgate_workers_loop_failures_total", "Rounds of a background loop that failed.", "loop"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairgate_workers_task_seconds", Help: "Time to meet an obligation.", Buckets: prometheus.DefBuckets,
		}, []string{"kind"}),
		pending: gauge("fairgate_outbox_pending", "Obligations that are still to be met.", "kind"),
		dead:    gauge("fairgate_outbox_dead", "Obligations that need an operator.", "kind"),
		oldest:  gauge("fairgate_outbox_oldest_seconds", "Age of the oldest pending obligation.", "kind"),
		off:     gauge("fairgate_money_off", "Accounts that do not add up.", "what"),
		trouble: gauge("fairgate_money_trouble", "What people should look at: open disputes, refunds that failed or wait for somebody.", "what"),
		inbox:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "fairgate_webhooks_open", Help: "Stored webhooks that are not processed."}),
		inboxAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairgate_webhooks_oldest_seconds", Help: "Age of the oldest stored webhook that is not processed.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.webhooks, m.enqueue, m.tasks, m.loops, m.seconds, m.pending, m.dead, m.oldest, m.off, m.trouble, m.inbox, m.inboxAge,
	} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// outbox sets the gauges of every kind, those without obligations to zero.
func (m *metrics) outbox(stats []store.OutboxStats) {
	by := map[string]store.OutboxStats{
		payment.KindCapture: {}, payment.KindVoid: {}, payment.KindRefund: {}, payment.KindEnd: {},
		payment.KindRun: {}, payment.KindMail: {},
	}
	for _, s := range stats {
		by[s.Kind] = s
	}
	for kind, s := range by {
		m.pending.WithLabelValues(kind).Set(float64(s.Pending))
		m.dead.WithLabelValues(kind).Set(float64(s.Dead))
		m.oldest.WithLabelValues(kind).Set(s.Oldest.Seconds())
	}
}
