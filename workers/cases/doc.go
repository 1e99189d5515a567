// Package cases proves the promises about money one named case at a time: real Postgres, Kafka's protocol, the real stock
// machine, projector, payment service and workers, and the Stripe simulator, under a clock that the test moves. It holds
// tests only and touches nothing outside them.
package cases
