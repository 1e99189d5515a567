package puzzle

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// plainSlot is a slot as the description words it; plainFunction interprets slots with a switch. It shares only the
// word generator and the permutations with the product, so that two readings of the description meet in the tests.
type plainSlot struct {
	kind     string // "G", "M or", "ror xor", …
	dst, src int
	n        uint64
}

type plainFunction struct {
	slots  [32][8]plainSlot
	rows   [32]uint64
	d      [32][8]int
	n0, n1 uint64
}

func newPlain(seed *[32]byte, h *HashWX) *plainFunction {
	f := &plainFunction{n0: binary.LittleEndian.Uint64(seed[16:]), n1: binary.LittleEndian.Uint64(seed[24:])}
	w := startWords(binary.LittleEndian.Uint64(seed[0:]), binary.LittleEndian.Uint64(seed[8:]), ^uint64(0))
	for i := range 32 {
		var x [16]uint64
		w.batch(&x, i == 0)
		d := &f.d[i]
		for n := 1; n < 8; n++ {
			q := int((x[n-1] >> 32) % uint64(n+1))
			d[n] = d[q]
			d[q] = n
		}
		f.rows[i] = x[7] % 625
		for j := range 8 {
			s := &f.slots[i][j]
			s.dst = d[j]
			if j == 0 {
				*s = plainSlot{"G", d[0], 8 + int(x[7]%2), 1 + x[8]%63}
				continue
			}
			s.src = d[h.tables.order[f.rows[i]][j]]
			s.kind, s.n = plainKind(j, uint32(x[j-1]), x[8+j])
		}
	}
	return f
}

func plainKind(slot int, kind uint32, imm uint64) (string, uint64) {
	if slot%2 == 0 {
		return "M " + []string{"or", "xor", "add"}[kind%3], []uint64{1, 9, 33}[imm%3]
	}
	t := kind % 9
	name := []string{"ror", "sar", "shr"}[t/3] + " " + []string{"xor", "add", "sub"}[t%3]
	if t/3 == 0 {
		return name, 1 + imm%63
	}
	return name, 1 + imm%3
}

func (s plainSlot) String() string {
	return fmt.Sprintf("%s dst=%d src=%d n=%d", s.kind, s.dst, s.src, s.n)
}

func (s plainSlot) run(dst, src uint64) uint64 {
	n := s.n
	var shifted uint64
	switch s.kind[:1] {
	case "G":
		return bits.RotateLeft64(dst*src, -int(n))
	case "M":
		switch s.kind[2:] {
		case "or":
			return (dst | n) * src
		case "xor":
			return (dst ^ n) * src
		}
		return (dst + n) * src
	}
	switch s.kind[:3] {
	case "ror":
		shifted = bits.RotateLeft64(dst, -int(n))
	case "sar":
		shifted = uint64(int64(dst) >> n)
	default:
		shifted = dst >> n
	}
	switch s.kind[4:] {
	case "xor":
		return shifted ^ src
	case "add":
		return shifted + src
	}
	return shifted - src
}

// hash returns the hash, the restarts of both runs, and calls step (may be nil) after each program.
func (f *plainFunction) hash(nonce uint64, step func(name string, i int, r [10]uint64, restarts int)) (uint64, [2]int) {
	w := startWords(f.n0, f.n1, nonce)
	var r [10]uint64
	r[0], r[1], r[2], r[3] = w.d, w.c, w.b, w.a
	w.refresh()
	r[4], r[5], r[6], r[7] = w.d, w.c, w.b, w.a
	r[8], r[9] = r[4]&^7|3, r[7]&^7|5
	var pad [256]uint64
	var restarts [2]int
	for pass, name := range []string{"step3", "step4"} {
		left := 32
		for i := range 32 {
			for j := 0; j < 8; j++ {
				s := f.slots[i][j]
				src := r[s.src]
				if pass == 1 && j > 0 {
					src = pad[r[s.src]&2040/8]
				}
				if j == 7 && left > 0 && r[f.d[i][0]]&32 == 0 {
					left--
					j = -1
					continue
				}
				r[s.dst] = s.run(r[s.dst], src)
			}
			for j := 0; pass == 0 && j < 8; j++ {
				pad[(2040-64*i-8*j)/8] = r[j]
			}
			if step != nil {
				step(name, i, r, 32-left)
			}
		}
		restarts[pass] = 32 - left
	}
	_, _, _, r3 := sipRound(r[0], r[1], r[2], r[3])
	_, _, _, r7 := sipRound(r[4], r[5], r[6], r[7])
	return r3 ^ r7 ^ r[9], restarts
}
