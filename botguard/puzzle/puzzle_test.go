package puzzle

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"
)

func testSet(t testing.TB) Set {
	t.Helper()
	s, err := NewSet(SHA256{}, NewHashWX())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eachAlgorithm(t *testing.T, f func(t *testing.T, s Set, p Params)) {
	s := testSet(t)
	for _, p := range []Params{
		{Algorithm: SHA256ID, SubPuzzles: 4, Difficulty: 500},
		{Algorithm: HashWXID, SubPuzzles: 4, K: 64, Difficulty: 200},
	} {
		a, err := s.Get(p.Algorithm)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(a.Name(), func(t *testing.T) { f(t, s, p) })
	}
}

func TestSet_WhatIsSolvedVerifies(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, s Set, p Params) {
		for i := range byte(10) {
			seed := sha256.Sum256([]byte{i})
			solution, err := s.Solve(seed, p, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(seed, p, solution); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestSet_SolutionHoldsForItsSeedPlaceAndPriceOnly(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, s Set, p Params) {
		seed := sha256.Sum256([]byte("seed"))
		p.Difficulty = 3000
		solution, err := s.Solve(seed, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		other := seed
		other[31] ^= 1
		swapped := append(append([]byte(nil), solution[8:16]...), solution[:8]...)
		swapped = append(swapped, solution[16:]...)
		last := append([]byte(nil), solution...)
		last[24] ^= 1
		dearer := p
		dearer.Difficulty = MaxDifficulty
		for name, err := range map[string]error{
			"foreign seed":     s.Verify(other, p, solution),
			"swapped nonces":   s.Verify(seed, p, swapped),
			"last nonce moved": s.Verify(seed, p, last),
			"higher price":     s.Verify(seed, dearer, solution),
		} {
			if !errors.Is(err, ErrUnsolved) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSet_WrongLengthAndParamsAreRefusedBeforeWork(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, s Set, p Params) {
		for _, n := range []int{0, 1, 8, 31, 33, 64, 65536} {
			if err := s.Verify([32]byte{}, p, make([]byte, n)); !errors.Is(err, ErrLength) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		none, many, free, dear := p, p, p, p
		none.SubPuzzles, many.SubPuzzles, free.Difficulty, dear.Difficulty = 0, MaxSubPuzzles+1, 1, MaxDifficulty+1
		for _, q := range []Params{none, many, free, dear} {
			if err := s.Verify([32]byte{}, q, make([]byte, q.Size())); !errors.Is(err, ErrParams) {
				t.Errorf("%+v: %v", q, err)
			}
			if _, err := s.Solve([32]byte{}, q, nil); !errors.Is(err, ErrParams) {
				t.Errorf("solve %+v: %v", q, err)
			}
		}
	})
}

func TestSet_ForeignAlgorithmIsRefused(t *testing.T) {
	s := testSet(t)
	p := Params{Algorithm: 9, SubPuzzles: 1, K: 1, Difficulty: 2}
	if err := s.Verify([32]byte{}, p, make([]byte, 8)); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
	if err := (SHA256{}).Verify([32]byte{}, p, make([]byte, 8)); !errors.Is(err, ErrAlgorithm) {
		t.Error(err)
	}
	if _, err := NewSet(SHA256{}, SHA256{}); err == nil {
		t.Error("two algorithms share an id")
	}
	if _, err := s.Named("sha256"); err != nil {
		t.Error(err)
	}
}

func TestSet_SolveStopsWhenAsked(t *testing.T) {
	eachAlgorithm(t, func(t *testing.T, s Set, p Params) {
		p.Difficulty = MaxDifficulty
		looks := 0
		_, err := s.Solve([32]byte{}, p, func() bool { looks++; return looks == 3 })
		if !errors.Is(err, ErrStopped) || looks != 3 {
			t.Fatalf("%v after %d looks", err, looks)
		}
	})
}

func TestParams_TargetIsTheFloor(t *testing.T) {
	for d, want := range map[uint32]uint64{2: 1 << 63, 3: 0x5555555555555555, 90000: 18446744073709551615 / 90000} {
		if got := (Params{Difficulty: d}).Target(); got != want {
			t.Errorf("difficulty %d: %x, want %x", d, got, want)
		}
	}
}

func TestSHA256_HashIsOfTheDescribedBytes(t *testing.T) {
	seed := sha256.Sum256([]byte("bytes"))
	b := append([]byte(nil), seed[:]...)
	b = append(b, 3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1)
	sum := sha256.Sum256(b)
	if got := sha256Hash(&seed, 3, 0x0102030405060708); got != binary.BigEndian.Uint64(sum[:]) {
		t.Fatalf("%x, want %x", got, sum[:8])
	}
}

func TestNonces_TextIsExactly16LowerHexDigits(t *testing.T) {
	p := Params{SubPuzzles: 1}
	for _, bad := range []string{
		"", "1", "-000000000000001", "0x00000000000001", "000000000000000A", "000000000000001.", "1e+1000000000000",
		" 000000000000001", "00000000000000001", "99999999999999999999", "000000000000000\x00",
	} {
		if _, err := ParseNonces(p, []string{bad}); !errors.Is(err, ErrNonce) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParseNonces(p, []string{"0000000000000000", "0000000000000000"}); !errors.Is(err, ErrLength) {
		t.Errorf("two nonces for one: %v", err)
	}
	b, err := ParseNonces(p, []string{"fedcba9876543210"})
	if err != nil || binary.LittleEndian.Uint64(b) != 0xfedcba9876543210 {
		t.Errorf("%x %v", b, err)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(uint8(SHA256ID), uint8(1), uint32(0), uint32(2), []byte("01234567"), []byte("seed"))
	f.Add(uint8(HashWXID), uint8(2), uint32(463), uint32(2), make([]byte, 16), []byte{})
	f.Add(uint8(HashWXID), uint8(1), uint32(1), uint32(4), []byte("\xff\xff\xff\xff\xff\xff\xff\xff"), []byte("x"))
	f.Add(uint8(7), uint8(255), uint32(1<<31), uint32(1<<31), []byte{1}, []byte("y"))
	s := testSet(f)
	h := NewHashWX()
	f.Fuzz(func(t *testing.T, id, subs uint8, k, difficulty uint32, solution, from []byte) {
		p := Params{Algorithm: id, SubPuzzles: subs, K: k, Difficulty: difficulty}
		seed := sha256.Sum256(from)
		err := s.Verify(seed, p, solution)
		if s.Check(p) != nil || len(solution) != p.Size() {
			if err == nil || errors.Is(err, ErrUnsolved) {
				t.Fatalf("%+v with %d bytes: %v", p, len(solution), err)
			}
			return
		}
		want := true
		for j := range int(subs) {
			n := nonceAt(solution, j)
			hash := sha256Hash(&seed, uint32(j), n)
			if id == HashWXID {
				key := seedBlock(&seed, uint32(j), n/uint64(k))
				hash, _ = newPlain(&key, h).hash(n, nil)
			}
			want = want && hash < p.Target()
		}
		if (err == nil) != want || (err != nil && !errors.Is(err, ErrUnsolved)) {
			t.Fatalf("%+v: %v, a plain check says %v", p, err, want)
		}
	})
}

func FuzzParseNonces(f *testing.F) {
	f.Add("0123456789abcdef")
	f.Add("ABCDEF0000000000")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseNonces(Params{SubPuzzles: 1}, []string{s})
		if err == nil && FormatNonces(b)[0] != s {
			t.Fatalf("%q reads as %x", s, b)
		}
	})
}

func BenchmarkSHA256_Hash(b *testing.B) {
	seed := sha256.Sum256([]byte("bench"))
	for i := 0; b.Loop(); i++ {
		sha256Hash(&seed, 0, uint64(i))
	}
}
