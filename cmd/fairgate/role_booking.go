package main

import (
	"fairgate/booking"
	"fairgate/internal/payment"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// addBooking puts the public API and the shop on a router.
func (a *assembly) addBooking(r *web.Router) error {
	passes, err := a.passes()
	if err != nil {
		return err
	}
	guard, err := a.guard()
	if err != nil {
		return err
	}
	payments, err := a.payments()
	if err != nil {
		return err
	}
	receipts, err := a.cfg.Keys.receipts()
	if err != nil {
		return err
	}
	api, err := booking.New(a.cfg.Booking, booking.Deps{
		Store: a.db, Redis: a.redis, Orders: a.producer(wire.TopicOrders), Events: a.events, Topic: a.topic(wire.TopicOrders),
		Receipts: receipts, Desk: a.desk(wire.TopicOutcomes), RoomTime: a.clock.Now, Passes: passes.Keyfunc, Payments: payments,
		Guard: fanGuard{guard}, Log: a.log, Metrics: a.registry,
	})
	if err != nil {
		return err
	}
	api.Routes(r)
	a.part("booking", api.Run)
	a.ready.Add("booking", api.Ready)
	return nil
}

// payments returns the one payment service of the process.
func (a *assembly) payments() (*payment.Service, error) {
	if a.payment != nil {
		return a.payment, nil
	}
	stripe, err := payment.NewStripe(a.cfg.Stripe, payment.StripeDeps{
		Metrics: a.registry, Budget: payment.NewSharedBudget(a.cfg.Stripe.Budget, a.cfg.Stripe.SecretKey, a.redis, nil),
	})
	if err != nil {
		return nil, err
	}
	a.payment, err = payment.NewService(a.cfg.Payment, payment.Deps{
		Store: a.db, Stripe: stripe, Orders: a.producer(wire.TopicOrders), Ask: a.desk(wire.TopicOutcomes).Ask,
		RoomTime: a.clock.Now, Log: a.log, Metrics: a.registry,
	})
	return a.payment, err
}
