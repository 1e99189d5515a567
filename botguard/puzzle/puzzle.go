// Package puzzle makes a place in line cost work: algorithms that are quick to check and slow to solve. It is a pure
// core: it imports a few pure packages of the standard library and touches nothing (no clock, randomness, I/O,
// goroutine, floating point or map).
//
// A puzzle is a 32-byte seed and Params; its solution is one 64-bit nonce for each sub-puzzle. The seed must not be
// guessable before it is issued and must cover everything the work is bound to, parameters included; then the server
// remembers nothing until a solution comes. A puzzle has many solutions: whoever wants single use keys it on the seed.
package puzzle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

const (
	// NonceSize is the length of one sub-puzzle's solution: a 64-bit nonce, least significant byte first. Negative,
	// fractional and too large nonces cannot be written in it.
	NonceSize = 8
	// MaxSubPuzzles bounds a solution's length and the cost of checking it.
	MaxSubPuzzles = 16
	// MinDifficulty is the easiest sub-puzzle; with 1 the target would not fit 64 bits.
	MinDifficulty = 2
	// MaxDifficulty is the hardest sub-puzzle: minutes on a server, hours on a phone; beyond is a mistake.
	MaxDifficulty = 1 << 30
	// MaxFunctionNonces is the largest K.
	MaxFunctionNonces = 1 << 24
	// maxNonce ends a search: below it every nonce is exact in a JavaScript number too.
	maxNonce = 1 << 53
	// stopEvery is how many nonces a solver tries between two looks at its stop function.
	stopEvery = 1024
)

// Errors of Check, Verify and Solve; errors.Is finds them under the detail. Those of Verify are the client's fault.
var (
	ErrAlgorithm = errors.New("puzzle: unknown algorithm")
	ErrParams    = errors.New("puzzle: parameters out of range")
	ErrLength    = errors.New("puzzle: wrong solution length")
	ErrNonce     = errors.New("puzzle: malformed nonce")
	ErrUnsolved  = errors.New("puzzle: not a solution")
	ErrStopped   = errors.New("puzzle: stopped")
)

// Params says how much work a puzzle is. The value is comparable and of fixed size; internal/wire lays out its bytes.
type Params struct {
	Algorithm  uint8  // Algorithm.ID
	SubPuzzles uint8  // how many sub-puzzles, all of which must be solved; 1 to MaxSubPuzzles
	K          uint32 // nonces that one hash function serves (HashWX); not used by SHA256
	Difficulty uint32 // expected number of hashes for one sub-puzzle, MinDifficulty to MaxDifficulty
}

// Size is the length of a solution in bytes.
func (p Params) Size() int { return int(p.SubPuzzles) * NonceSize }

// Target is floor(2^64 / Difficulty): a hash below it is a hit. Difficulty must be at least MinDifficulty.
func (p Params) Target() uint64 {
	t, _ := bits.Div64(1, 0, uint64(max(p.Difficulty, MinDifficulty)))
	return t
}

// Check says whether the numbers that all algorithms share are in range (ErrParams).
func (p Params) Check() error {
	switch {
	case p.SubPuzzles < 1 || p.SubPuzzles > MaxSubPuzzles:
		return fmt.Errorf("%w: %d sub-puzzles, expected 1 to %d", ErrParams, p.SubPuzzles, MaxSubPuzzles)
	case p.Difficulty < MinDifficulty || p.Difficulty > MaxDifficulty:
		return fmt.Errorf("%w: difficulty %d, expected %d to %d", ErrParams, p.Difficulty, MinDifficulty, MaxDifficulty)
	}
	return nil
}

// Algorithm is one kind of work. Values are immutable and safe for concurrent use.
type Algorithm interface {
	// ID is the byte that names the algorithm in Params; never reused for another.
	ID() uint8
	// Name is the name that clients see, lower case.
	Name() string
	// Check says whether p suits the algorithm; it returns ErrParams or ErrAlgorithm, wrapped.
	Check(p Params) error
	// Verify returns nil if every nonce of solution (p.Size() bytes) hits. It stops at the first that does not
	// (ErrUnsolved), so junk costs one sub-puzzle at most. ErrParams, ErrAlgorithm and ErrLength come before any work.
	Verify(seed [32]byte, p Params, solution []byte) error
	// Solve finds the smallest solution. stop (may be nil) is asked every thousand hashes or so; true ends the search
	// with ErrStopped.
	Solve(seed [32]byte, p Params, stop func() bool) ([]byte, error)
	// SolveOne finds the NonceSize bytes of one sub-puzzle, so that a device can spread a puzzle over its cores.
	SolveOne(seed [32]byte, p Params, sub int, stop func() bool) ([]byte, error)
}

// Set is the algorithms that a server knows. The zero value knows none.
type Set struct{ algorithms []Algorithm }

// NewSet returns a set of algorithms with different ids; two with one id are an error.
func NewSet(algorithms ...Algorithm) (Set, error) {
	for i, a := range algorithms {
		for _, b := range algorithms[:i] {
			if a.ID() == b.ID() {
				return Set{}, fmt.Errorf("puzzle: %s and %s share id %d", b.Name(), a.Name(), a.ID())
			}
		}
	}
	return Set{algorithms: append([]Algorithm(nil), algorithms...)}, nil
}

// Get returns the algorithm with an id, or ErrAlgorithm.
func (s Set) Get(id uint8) (Algorithm, error) {
	for _, a := range s.algorithms {
		if a.ID() == id {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%w: id %d", ErrAlgorithm, id)
}

// Named returns the algorithm with a name, or ErrAlgorithm.
func (s Set) Named(name string) (Algorithm, error) {
	for _, a := range s.algorithms {
		if a.Name() == name {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%w: %q", ErrAlgorithm, name)
}

// Check finds the algorithm of p and asks it.
func (s Set) Check(p Params) error {
	a, err := s.Get(p.Algorithm)
	if err != nil {
		return err
	}
	return a.Check(p)
}

// Verify finds the algorithm of p and asks it; see Algorithm.
func (s Set) Verify(seed [32]byte, p Params, solution []byte) error {
	a, err := s.Get(p.Algorithm)
	if err != nil {
		return err
	}
	return a.Verify(seed, p, solution)
}

// Solve finds the algorithm of p and asks it; see Algorithm.
func (s Set) Solve(seed [32]byte, p Params, stop func() bool) ([]byte, error) {
	a, err := s.Get(p.Algorithm)
	if err != nil {
		return nil, err
	}
	return a.Solve(seed, p, stop)
}

// checkSolution is what every Verify does before it works.
func checkSolution(a Algorithm, p Params, solution []byte) error {
	if err := a.Check(p); err != nil {
		return err
	}
	if len(solution) != p.Size() {
		return fmt.Errorf("%w: %d bytes, expected %d", ErrLength, len(solution), p.Size())
	}
	return nil
}

func nonceAt(solution []byte, sub int) uint64 {
	return binary.LittleEndian.Uint64(solution[sub*NonceSize:])
}

// unsolvedError is ErrUnsolved with the number of the first sub-puzzle that does not hold. Junk comes in floods: so small a
// number becomes an error without an allocation.
type unsolvedError uint8

func unsolved(sub int) error { return unsolvedError(sub) }

// Error names the sub-puzzle.
func (e unsolvedError) Error() string { return fmt.Sprintf("%v: sub-puzzle %d", ErrUnsolved, uint8(e)) }

// Unwrap is ErrUnsolved.
func (e unsolvedError) Unwrap() error { return ErrUnsolved }

// solveAll solves a puzzle's sub-puzzles one after the other.
func solveAll(a Algorithm, seed [32]byte, p Params, stop func() bool) ([]byte, error) {
	if err := a.Check(p); err != nil {
		return nil, err
	}
	out := make([]byte, 0, p.Size())
	for j := range int(p.SubPuzzles) {
		nonce, err := a.SolveOne(seed, p, j, stop)
		if err != nil {
			return nil, err
		}
		out = append(out, nonce...)
	}
	return out, nil
}
