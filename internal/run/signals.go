package run

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals returns a context that ends at the first SIGINT or SIGTERM. At the next one second is called, once, from a
// goroutine of its own: the operator has lost patience, and cmd exits there. stop gives the signals back and returns
// when no goroutine is left; it also ends the context.
func Signals(ctx context.Context, second func()) (context.Context, func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, stop := watch(ctx, signals, second)
	return ctx, func() {
		signal.Stop(signals)
		stop()
	}
}

// watch is Signals without the operating system.
func watch(ctx context.Context, signals <-chan os.Signal, second func()) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	quit := make(chan struct{})
	var owner sync.WaitGroup
	owner.Go(func() {
		for _, react := range []func(){cancel, second} {
			select {
			case <-signals:
				react()
			case <-quit:
				return
			}
		}
	})
	return ctx, sync.OnceFunc(func() {
		close(quit)
		cancel()
		owner.Wait()
	})
}
