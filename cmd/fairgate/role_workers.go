package main

import (
	"fairgate/internal/web"
	"fairgate/workers"
)

// addWorkers puts the webhook on a router and starts the workers.
func (a *assembly) addWorkers(r *web.Router) error {
	payments, err := a.payments()
	if err != nil {
		return err
	}
	w, err := workers.New(a.cfg.Workers, workers.Deps{
		Store: a.db, Redis: a.redis, Payments: payments, Log: a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	w.Routes(r)
	a.workers = w
	a.late = append(a.late, w.Parts()...)
	return nil
}
