// Package bench holds the benchmarks of the workers' money: the webhook and reconciliation, over real stores. It has no
// code of its own; what its tests may touch is what the workers touch.
package bench
