package puzzle

import (
	"encoding/binary"
	"fmt"
)

// HashWXID is the id of HashWX in Params.
const HashWXID uint8 = 2

// HashWX is work that a graphics card does not love: every K nonces need a fresh random program. Nonce N solves
// sub-puzzle j when
//
//	hash(function(SHA-256(seed ‖ le32(j) ‖ le64(N div K))), N) < floor(2^64 / Difficulty)
//
// The family of functions is by tevador; byte layout, j and K as the seed's input are ours. A verification builds one
// function and makes one hash per sub-puzzle, a few microseconds each. Make it with NewHashWX.
type HashWX struct{ tables tables }

// NewHashWX computes the tables that functions are made from (6 kB).
func NewHashWX() *HashWX {
	h := &HashWX{}
	h.tables.fill()
	return h
}

// allowed lists which numbers stand at each place of a source permutation.
func allowed(place int) string {
	switch place {
	case 0:
		return "\x00\x02\x04\x06\x07"
	case 1:
		return "\x02\x03\x04\x05\x06\x07"
	case 2:
		return "\x01\x03\x04\x05\x06\x07"
	case 3:
		return "\x01\x04\x05\x06\x07"
	case 4:
		return "\x01\x03\x05\x06\x07"
	case 5:
		return "\x01\x03\x06\x07"
	case 6:
		return "\x00\x01\x03\x05\x07"
	default:
		return "\x00\x02"
	}
}

// permute lists the allowed permutations in ascending order, by a depth-first search of at most eight places.
func (t *tables) permute(perm *[slotCount]uint8, place int, used uint8, n *int) {
	if place == slotCount {
		t.order[*n] = *perm
		*n++
		return
	}
	for _, v := range []byte(allowed(place)) {
		if used>>v&1 == 0 {
			perm[place] = v
			t.permute(perm, place+1, used|1<<v, n)
		}
	}
}

// ID is HashWXID.
func (*HashWX) ID() uint8 { return HashWXID }

// Name is "hashwx".
func (*HashWX) Name() string { return "hashwx" }

// Check wants the id, the shared ranges and K of 1 to MaxFunctionNonces.
func (*HashWX) Check(p Params) error {
	if p.Algorithm != HashWXID {
		return fmt.Errorf("%w: id %d is not hashwx", ErrAlgorithm, p.Algorithm)
	}
	if p.K < 1 || p.K > MaxFunctionNonces {
		return fmt.Errorf("%w: k %d, expected 1 to %d", ErrParams, p.K, MaxFunctionNonces)
	}
	return p.Check()
}

// Verify allocates nothing, whether the solution holds or not.
func (h *HashWX) Verify(seed [32]byte, p Params, solution []byte) error {
	if err := checkSolution(h, p, solution); err != nil {
		return err
	}
	target := p.Target()
	var f function
	for j := range int(p.SubPuzzles) {
		nonce := nonceAt(solution, j)
		key := seedBlock(&seed, uint32(j), nonce/uint64(p.K))
		f.fill(&key, &h.tables)
		if f.hash(nonce) >= target {
			return unsolved(j)
		}
	}
	return nil
}

// Solve interprets the functions one after the other, as the verifier does: about half a million hashes a second.
func (h *HashWX) Solve(seed [32]byte, p Params, stop func() bool) ([]byte, error) {
	return solveAll(h, seed, p, stop)
}

// SolveOne finds one sub-puzzle's nonce.
func (h *HashWX) SolveOne(seed [32]byte, p Params, sub int, stop func() bool) ([]byte, error) {
	if err := h.Check(p); err != nil {
		return nil, err
	}
	n, err := h.search(&seed, p, uint32(sub), stop)
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(nil, n), nil
}

func (h *HashWX) search(seed *[32]byte, p Params, sub uint32, stop func() bool) (uint64, error) {
	target, k := p.Target(), uint64(p.K)
	var f function
	for n := uint64(0); n < maxNonce; n++ {
		if n%stopEvery == 0 && stop != nil && stop() {
			return 0, ErrStopped
		}
		if n%k == 0 {
			key := seedBlock(seed, sub, n/k)
			f.fill(&key, &h.tables)
		}
		if f.hash(n) < target {
			return n, nil
		}
	}
	return 0, unsolved(int(sub))
}
