package puzzle

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// SHA256ID is the id of SHA256 in Params.
const SHA256ID uint8 = 1

// SHA256 is leading work: nonce N solves sub-puzzle j when the first 64 bits (big-endian) of
//
//	SHA-256(seed ‖ le32(j) ‖ le64(N))
//
// are below floor(2^64 / Difficulty). It runs on every browser, and is far cheaper on a graphics card than on a phone.
type SHA256 struct{}

// ID is SHA256ID.
func (SHA256) ID() uint8 { return SHA256ID }

// Name is "sha256".
func (SHA256) Name() string { return "sha256" }

// Check wants the id and the shared ranges; K is ignored.
func (SHA256) Check(p Params) error {
	if p.Algorithm != SHA256ID {
		return fmt.Errorf("%w: id %d is not sha256", ErrAlgorithm, p.Algorithm)
	}
	return p.Check()
}

// Verify costs one hash a sub-puzzle, about a tenth of a microsecond.
func (a SHA256) Verify(seed [32]byte, p Params, solution []byte) error {
	if err := checkSolution(a, p, solution); err != nil {
		return err
	}
	target := p.Target()
	for j := range int(p.SubPuzzles) {
		if sha256Hash(&seed, uint32(j), nonceAt(solution, j)) >= target {
			return unsolved(j)
		}
	}
	return nil
}

// Solve tries the nonces from 0 upwards.
func (a SHA256) Solve(seed [32]byte, p Params, stop func() bool) ([]byte, error) {
	return solveAll(a, seed, p, stop)
}

// SolveOne finds one sub-puzzle's nonce.
func (a SHA256) SolveOne(seed [32]byte, p Params, sub int, stop func() bool) ([]byte, error) {
	if err := a.Check(p); err != nil {
		return nil, err
	}
	target := p.Target()
	for n := uint64(0); n < maxNonce; n++ {
		if n%stopEvery == 0 && stop != nil && stop() {
			return nil, ErrStopped
		}
		if sha256Hash(&seed, uint32(sub), n) < target {
			return binary.LittleEndian.AppendUint64(nil, n), nil
		}
	}
	return nil, unsolved(sub)
}

func sha256Hash(seed *[32]byte, sub uint32, nonce uint64) uint64 {
	sum := seedBlock(seed, sub, nonce)
	return binary.BigEndian.Uint64(sum[:8])
}

// seedBlock is SHA-256(seed ‖ le32(sub) ‖ le64(n)): 44 bytes, one block.
func seedBlock(seed *[32]byte, sub uint32, n uint64) [32]byte {
	var b [44]byte
	copy(b[:], seed[:])
	binary.LittleEndian.PutUint32(b[32:], sub)
	binary.LittleEndian.PutUint64(b[36:], n)
	return sha256.Sum256(b[:])
}
