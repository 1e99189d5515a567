package puzzle

import "math/bits"

// sipRound is one SipHash round on four words.
func sipRound(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a, c = a+b, c+d
	b = bits.RotateLeft64(b, 13) ^ a
	d = bits.RotateLeft64(d, 16) ^ c
	a = bits.RotateLeft64(a, 32)
	c, a = c+b, a+d
	b = bits.RotateLeft64(b, 17) ^ c
	d = bits.RotateLeft64(d, 21) ^ a
	c = bits.RotateLeft64(c, 32)
	return a, b, c, d
}

func fourRounds(a, b, c, d uint64) (uint64, uint64, uint64, uint64) {
	a, b, c, d = sipRound(a, b, c, d)
	a, b, c, d = sipRound(a, b, c, d)
	a, b, c, d = sipRound(a, b, c, d)
	return sipRound(a, b, c, d)
}

// words generates the pseudo-random words of HashWX: keyed, salted, four at a time.
type words struct{ a, b, c, d, k0, k1 uint64 }

// startWords returns a generator whose first four words are ready.
func startWords(k0, k1, salt uint64) words {
	a, b := 0x736f6d6570736575^k0, 0x646f72616e646f6d^k1
	c, d := 0x6c7967656e657261^k0, 0x7465646279746573^k1^salt
	a, b, c, d = sipRound(a, b, c, d)
	a ^= salt
	c ^= 0xbb
	a, b, c, d = sipRound(a, b, c, d)
	a, b, c, d = sipRound(a, b, c, d)
	a, b, c, d = sipRound(a, b, c, d)
	return words{a, b, c, d, k0, k1}
}

// refresh makes the next four words.
func (w *words) refresh() {
	w.a, w.b, w.c, w.d = fourRounds(w.a^w.k0, w.b^w.k1, w.c^w.k0, w.d^w.k1)
}

// batch takes the next 16 words. The generator must stand at a multiple of four; first says that no word was taken yet.
func (w *words) batch(x *[16]uint64, first bool) {
	for i := 0; i < 16; i += 4 {
		if i > 0 || !first {
			w.refresh()
		}
		x[i], x[i+1], x[i+2], x[i+3] = w.d, w.c, w.b, w.a
	}
}
