// Package browser holds the puzzle solver that runs on the visitor's device: a dedicated worker script, to be served
// from the page's own origin. It embeds files and touches nothing.
package browser

import "embed"

// Files holds solver.js. Its protocol is written at the head of the script. It needs worker-src 'self' in the page's
// Content-Security-Policy and Policy in its own. Every solution is advisory: the server computes it again.
//
//go:embed solver.js
var Files embed.FS

// Solver is the name of the worker script in Files.
const Solver = "solver.js"

// Policy is the Content-Security-Policy with which the worker script is served: HashWX compiles a WebAssembly module for
// each of its functions, and a worker obeys the policy of its own response, not the page's. A browser that refuses gets
// an error from the solver, and its visitor the timed lane.
const Policy = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"
