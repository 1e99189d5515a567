// Package run is the life of a process: it starts the parts of a role in order, stops them in reverse, and serves
// their logs, metrics and health. It may touch signals, sockets of its own and the clock; it knows no other package
// of ours and never ends the process (that is cmd's).
//
// # The protocol
//
// A role is a [Group] of [Part]s, added in the order in which they depend on each other: stores first, then what uses
// them, listeners last. So listeners come up last and go down first, and nothing is ever asked of a part whose
// foundations are gone.
//
// Starting. Parts start in the order of Add. A part that needs time until others may rely on it has a Started
// channel; the next part starts when it is closed. While a part is not yet started, a shutdown or the end of any part
// stops the ones that run, and the rest never start.
//
// Stopping, by the end of Run's context (a signal, see [Signals]):
//
//  1. Readiness fails. For GroupConfig.Notice everything still serves, so that load balancers can look elsewhere.
//  2. The context of the last part ends: the soft stop. It takes nothing new, finishes what it holds and returns.
//     When it has, the part before it gets its soft stop, and so on to the first.
//  3. At 80 % of GroupConfig.Window every part still running gets both its soft and its hard stop: the context that
//     [Hard] returns ends too, and with it the work in progress. A part's last fifth of the window is for flushing.
//  4. At the end of the window Run stops waiting and returns an error naming the parts that are still running. That is
//     the only case in which a goroutine outlives Run.
//
// Run then returns nil, and cmd exits 0. A part that returns an error while stopping does not stop the others from
// stopping; its error is returned, unless it is context.Canceled, which is how a soft stop looks to most code.
//
// Edge cases:
//
//   - A part that returns before the stop, with or without an error, is an unexpected end, and stops all others at
//     once (no Notice: what is left cannot serve). Run returns which part it was and why. A part with MayEnd may
//     return nil at any time, and that stops nothing.
//   - Several parts failing at once are one stop; all their errors are returned, joined, in the order of the parts.
//   - A context that has ended before Run starts nothing.
//   - A second signal during the stop is not the group's: [Signals] calls a hook, and cmd exits there.
//   - A panic in a part is not recovered: the process is in an unknown state, and its supervisor starts a new one.
package run
