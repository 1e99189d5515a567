package puzzle

import (
	"encoding/binary"
	"math/bits"
)

const (
	programs  = 32  // programs of a function
	padWords  = 256 // words of the scratchpad
	maxLoops  = 32  // restarts that one run of the programs may make
	regMask   = 15  // registers are numbered below 16; 0 to 9 are used
	orders    = 625 // permutations that name source registers
	loopBit   = 32  // a program restarts while this bit of its slot 0's register is 0
	slotCount = 8
)

// mulSlot computes (((dst | or) ^ xor) + add) * src; the immediate stands in one of the three, the others are 0.
type mulSlot struct {
	dst, src    uint8
	or, xor, ad uint64
}

// shiftSlot computes one of nine operations without a branch: a fresh random program would defeat branch prediction.
// Shift: rotated right by n, with what came in from the left kept (a rotation), cleared, or replaced by the sign. Combine with
// src: xor, or src times 1 or -1 added.
type shiftSlot struct {
	dst, src, n uint8
	keep, sign  uint64 // bits that stay as they were rotated, bits that become the sign
	xor, times  uint64 // all ones or 0; 1, -1 or 0
}

// program is eight slots in the order G S M S M S M, loop test, S.
type program struct {
	dst, src, n uint8 // slot 0 (G): dst = ror(dst * src, n)
	shift       [4]shiftSlot
	mul         [3]mulSlot
}

// function is one member of the HashWX family. It holds no pointers, so that a verifier keeps it on its stack.
type function struct {
	programs [programs]program
	n0, n1   uint64 // nonce key
}

// tables are what every function is generated from. Choices are looked up, not branched over: a fresh random program would
// defeat branch prediction here too.
type tables struct {
	order [orders][slotCount]uint8 // the permutations that name source registers
	shift [9 * 3]shiftSlot         // by kind * 3 + count - 1, where a rotation's count does not matter; without destination, source and count
	mul   [9]mulSlot               // by pre-operation * 3 + number of the immediate; without destination and source
}

func (t *tables) fill() {
	for i := range t.shift {
		shift, combine, in := i/9, i/3%3, ^(^uint64(0) >> (1 + i%3))
		keep := ^(in & mask(shift != 0))
		t.shift[i] = shiftSlot{keep: keep, sign: in & mask(shift == 1), xor: mask(combine == 0)}
		switch combine {
		case 1:
			t.shift[i].times = 1
		case 2:
			t.shift[i].times = ^uint64(0)
		}
	}
	for i, immediate := range [3]uint64{1, 9, 33} {
		t.mul[i].or, t.mul[3+i].xor, t.mul[6+i].ad = immediate, immediate, immediate
	}
	n := 0
	var perm [slotCount]uint8
	t.permute(&perm, 0, 0, &n)
}

// fill generates the function that belongs to a seed.
func (f *function) fill(seed *[32]byte, t *tables) {
	w := startWords(binary.LittleEndian.Uint64(seed[0:]), binary.LittleEndian.Uint64(seed[8:]), ^uint64(0))
	f.n0, f.n1 = binary.LittleEndian.Uint64(seed[16:]), binary.LittleEndian.Uint64(seed[24:])
	var x [16]uint64
	for i := range f.programs {
		w.batch(&x, i == 0)
		f.programs[i].fill(&x, t)
	}
}

func (p *program) fill(x *[16]uint64, t *tables) {
	d := destinations(x)
	perm := &t.order[x[7]%orders]
	p.dst, p.src, p.n = d[0], 8+uint8(x[7]&1), uint8(1+x[8]%63)
	for i := range p.shift {
		p.shift[i].fill(uint32(x[2*i]), x[9+2*i], t)
		p.shift[i].dst, p.shift[i].src = d[2*i+1], d[perm[2*i+1]&7]
	}
	for i := range p.mul {
		p.mul[i] = t.mul[uint32(x[2*i+1])%3*3+uint32(x[10+2*i]%3)]
		p.mul[i].dst, p.mul[i].src = d[2*i+2], d[perm[2*i+2]&7]
	}
}

// destinations arranges the registers that the slots write. It is written out, since a remainder by a constant is a
// multiplication, and a division costs several times more.
func destinations(x *[16]uint64) (d [slotCount]uint8) {
	q := uint32(x[0]>>32) % 2
	d[1], d[q&7] = d[q&7], 1
	q = uint32(x[1]>>32) % 3
	d[2], d[q&7] = d[q&7], 2
	q = uint32(x[2]>>32) % 4
	d[3], d[q&7] = d[q&7], 3
	q = uint32(x[3]>>32) % 5
	d[4], d[q&7] = d[q&7], 4
	q = uint32(x[4]>>32) % 6
	d[5], d[q&7] = d[q&7], 5
	q = uint32(x[5]>>32) % 7
	d[6], d[q&7] = d[q&7], 6
	q = uint32(x[6]>>32) % 8
	d[7], d[q&7] = d[q&7], 7
	return d
}

func (s *shiftSlot) fill(kind uint32, immediate uint64, t *tables) {
	kind %= 9
	short := immediate % 3
	*s = t.shift[kind*3+uint32(short)]
	rot := uint64(int64(kind)-3) >> 63 // 1 for a rotation
	s.n = 1 + uint8(short+(immediate%63-short)&-rot)
}

func mask(on bool) uint64 {
	if on {
		return ^uint64(0)
	}
	return 0
}

// hash maps a nonce to its hash. It runs 64 to 128 program passes whatever the nonce.
func (f *function) hash(nonce uint64) uint64 {
	var r [regMask + 1]uint64
	var pad [padWords]uint64
	w := startWords(f.n0, f.n1, nonce)
	r[0], r[1], r[2], r[3] = w.d, w.c, w.b, w.a
	w.refresh()
	r[4], r[5], r[6], r[7] = w.d, w.c, w.b, w.a
	r[8], r[9] = r[4]&^7|3, r[7]&^7|5
	left := maxLoops
	for i := range f.programs {
		f.programs[i].runRegisters(&r, &left)
		at := padWords - 1 - 8*i
		for j := range 8 {
			pad[(at-j)&(padWords-1)] = r[j]
		}
	}
	left = maxLoops
	for i := range f.programs {
		f.programs[i].runMemory(&r, &pad, &left)
	}
	_, _, _, r3 := sipRound(r[0], r[1], r[2], r[3])
	_, _, _, r7 := sipRound(r[4], r[5], r[6], r[7])
	return r3 ^ r7 ^ r[9]
}

// runRegisters is the first run: operands come from registers.
func (p *program) runRegisters(r *[regMask + 1]uint64, left *int) {
	s, m := &p.shift, &p.mul
	for {
		first := bits.RotateLeft64(r[p.dst&regMask]*r[p.src&regMask], -int(p.n))
		r[p.dst&regMask] = first
		s[0].apply(r, r[s[0].src&regMask])
		m[0].apply(r, r[m[0].src&regMask])
		s[1].apply(r, r[s[1].src&regMask])
		m[1].apply(r, r[m[1].src&regMask])
		s[2].apply(r, r[s[2].src&regMask])
		m[2].apply(r, r[m[2].src&regMask])
		if *left == 0 || first&loopBit != 0 {
			break
		}
		*left--
	}
	s[3].apply(r, r[s[3].src&regMask])
}

// runMemory is the second run: operands, except slot 0's, come from the scratchpad.
func (p *program) runMemory(r *[regMask + 1]uint64, pad *[padWords]uint64, left *int) {
	s, m := &p.shift, &p.mul
	for {
		first := bits.RotateLeft64(r[p.dst&regMask]*r[p.src&regMask], -int(p.n))
		r[p.dst&regMask] = first
		s[0].apply(r, pad[r[s[0].src&regMask]>>3&(padWords-1)])
		m[0].apply(r, pad[r[m[0].src&regMask]>>3&(padWords-1)])
		s[1].apply(r, pad[r[s[1].src&regMask]>>3&(padWords-1)])
		m[1].apply(r, pad[r[m[1].src&regMask]>>3&(padWords-1)])
		s[2].apply(r, pad[r[s[2].src&regMask]>>3&(padWords-1)])
		m[2].apply(r, pad[r[m[2].src&regMask]>>3&(padWords-1)])
		if *left == 0 || first&loopBit != 0 {
			break
		}
		*left--
	}
	s[3].apply(r, pad[r[s[3].src&regMask]>>3&(padWords-1)])
}

func (s *shiftSlot) apply(r *[regMask + 1]uint64, src uint64) {
	a := r[s.dst&regMask]
	y := bits.RotateLeft64(a, -int(s.n))&s.keep | uint64(int64(a)>>63)&s.sign
	r[s.dst&regMask] = (y ^ src&s.xor) + src*s.times
}

func (m *mulSlot) apply(r *[regMask + 1]uint64, src uint64) {
	r[m.dst&regMask] = (((r[m.dst&regMask] | m.or) ^ m.xor) + m.ad) * src
}
