package stripesim

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a dashboard of the demo and the money tests look at.
type metrics struct {
	requests *prometheus.CounterVec // by endpoint and status
	webhooks *prometheus.CounterVec // by result: delivered, failed, given_up, lost, dropped
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_stripesim_requests_total", Help: "Calls of the simulated Stripe API.",
		}, []string{"endpoint", "status"}),
		webhooks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_stripesim_webhooks_total", Help: "Tries to deliver a webhook of the simulated Stripe.",
		}, []string{"result"}),
	}
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.webhooks} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}
