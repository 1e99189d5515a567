// Package verifytest holds tests that drive the real machines and the verifier's model with the same records. It has no
// code of its own: only its tests may import both sides.
package verifytest
