// Package browser holds the puzzle solver that runs on the visitor's device: a dedicated worker script, to be served
// from the page's own origin. It embeds files and touches nothing.
package browser

import "embed"

// Files holds solver.js. Its protocol is written at the head of the script. It needs no WebAssembly, no crypto.subtle
// and no special Content-Security-Policy beyond worker-src 'self'.
//
//go:embed solver.js
var Files embed.FS

// Solver is the name of the worker script in Files.
const Solver = "solver.js"
