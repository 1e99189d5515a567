package puzzle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func readCSV(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows[1:]
}

func unhex32(t testing.TB, s string) (out [32]byte) {
	t.Helper()
	if n, err := hex.Decode(out[:], []byte(s)); err != nil || n != 32 {
		t.Fatalf("%q: %d bytes, %v", s, n, err)
	}
	return out
}

func TestHashWX_PermutationsAreTheList(t *testing.T) {
	h, all := NewHashWX(), strings.Builder{}
	rows := readCSV(t, "permutations.csv")
	if len(rows) != orders {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		got := ""
		for _, v := range h.tables.order[i] {
			got += strconv.Itoa(int(v))
		}
		if got != row[1] {
			t.Fatalf("row %d: %s, want %s", i, got, row[1])
		}
		all.WriteString(got)
	}
	const want = "e3dde0f4469a724dfddaf72199aab506e53fd417ea9ebf727df016634a79bdea"
	if sum := sha256.Sum256([]byte(all.String())); hex.EncodeToString(sum[:]) != want {
		t.Fatalf("digest %x", sum)
	}
}

func TestHashWX_VectorsHold(t *testing.T) {
	h := NewHashWX()
	for _, row := range readCSV(t, "vectors.csv") {
		seed := unhex32(t, row[1])
		nonce, err := strconv.ParseUint(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		var f function
		f.fill(&seed, &h.tables)
		if got := fmt.Sprintf("%016x", f.hash(nonce)); got != row[5] {
			t.Errorf("seed %s nonce %d: %s, want %s", row[1], nonce, got, row[5])
		}
		hash, restarts := newPlain(&seed, h).hash(nonce, nil)
		if got := fmt.Sprintf("%d,%d,%016x", restarts[0], restarts[1], hash); got != strings.Join(row[3:], ",") {
			t.Errorf("plain, seed %s nonce %d: %s, want %v", row[1], nonce, got, row[3:])
		}
	}
}

func TestHashWX_TraceHolds(t *testing.T) {
	var seed [32]byte
	copy(seed[:], "This is a test seed for hashwx")
	h := NewHashWX()
	f := newPlain(&seed, h)
	want := map[string]string{}
	for _, row := range readCSV(t, "trace.csv") {
		want[row[0]+" "+row[1]] = row[2]
	}
	for i := range f.slots {
		if got := fmt.Sprint(f.rows[i]); got != want[fmt.Sprintf("row %d", i)] {
			t.Errorf("row of program %d: %s", i, got)
		}
		for j, s := range f.slots[i] {
			if got := s.String(); got != want[fmt.Sprintf("slot %d.%d", i, j)] {
				t.Errorf("slot %d.%d: %s", i, j, got)
			}
		}
	}
	f.hash(0, func(name string, i int, r [10]uint64, restarts int) {
		got := ""
		for j := range 8 {
			got += fmt.Sprintf("%016x ", r[j])
		}
		got += fmt.Sprintf("restarts=%d", restarts)
		if line := want[fmt.Sprintf("%s %d", name, i)]; got != line {
			t.Fatalf("%s of program %d: %s, want %s", name, i, got, line)
		}
	})
}

func TestHashWX_TwoInterpretersAgree(t *testing.T) {
	h := NewHashWX()
	for i := range 200 {
		seed := sha256.Sum256([]byte{byte(i)})
		var f function
		f.fill(&seed, &h.tables)
		plain := newPlain(&seed, h)
		for n := range uint64(20) {
			nonce := n * 0x9e3779b97f4a7c15
			if want, _ := plain.hash(nonce, nil); f.hash(nonce) != want {
				t.Fatalf("seed %x nonce %d: %x, want %x", seed, nonce, f.hash(nonce), want)
			}
		}
	}
}

func exampleSeed() [32]byte { return sha256.Sum256([]byte("hashwx puzzle example")) }

func TestHashWX_SeedOfAFunctionIsAsDescribed(t *testing.T) {
	c := exampleSeed()
	for _, v := range []struct {
		sub  uint32
		f    uint64
		want string
	}{
		{0, 0, "20fdfbcff14f3debecbcca8a3cfe8187ac185470bd301d646aa716be010ae1fd"},
		{3, 4294967301, "4f7e132a1639225c2ba9658d1f22d64b3455eefe7bc3a58fb44a69f1137bc97e"},
	} {
		if got := seedBlock(&c, v.sub, v.f); hex.EncodeToString(got[:]) != v.want {
			t.Errorf("sub %d function %d: %x", v.sub, v.f, got)
		}
	}
}

func TestHashWX_SmallestSolutionsAreThePublishedOnes(t *testing.T) {
	h := NewHashWX()
	for _, v := range []struct {
		k, d   uint32
		target uint64
		want   string
	}{
		{65536, 100000, 0x0000a7c5ac471b47, "000000000000400e 000000000005a64b 0000000000006849 0000000000010ea8"},
		{463, 5000, 0x000d1b71758e2196, "00000000000002b6 0000000000005e44 0000000000001832 000000000000399c"},
	} {
		p := Params{Algorithm: HashWXID, SubPuzzles: 4, K: v.k, Difficulty: v.d}
		if p.Target() != v.target {
			t.Errorf("target %016x, want %016x", p.Target(), v.target)
		}
		solution, err := ParseNonces(p, strings.Fields(v.want))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Verify(exampleSeed(), p, solution); err != nil {
			t.Errorf("k %d: %v", v.k, err)
		}
		if v.k > 1000 {
			continue // half a million hashes: half a minute under the race detector
		}
		found, err := h.Solve(exampleSeed(), p, nil)
		if err != nil || strings.Join(FormatNonces(found), " ") != v.want {
			t.Errorf("k %d: solved %v, %v", v.k, FormatNonces(found), err)
		}
	}
}

func TestHashWX_RefusesKOutOfRange(t *testing.T) {
	for _, k := range []uint32{0, MaxFunctionNonces + 1} {
		p := Params{Algorithm: HashWXID, SubPuzzles: 1, K: k, Difficulty: 2}
		if err := NewHashWX().Verify([32]byte{}, p, make([]byte, 8)); !errors.Is(err, ErrParams) {
			t.Errorf("k %d: %v", k, err)
		}
	}
}

func TestHashWX_VerifyAllocatesNothing(t *testing.T) {
	h := NewHashWX()
	p := Params{Algorithm: HashWXID, SubPuzzles: 4, K: 463, Difficulty: 20}
	solution, err := h.Solve(exampleSeed(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(50, func() { err = h.Verify(exampleSeed(), p, solution) }); n != 0 || err != nil {
		t.Fatalf("%v allocations, %v", n, err)
	}
	solution[31] ^= 1 // junk comes in floods
	if n := testing.AllocsPerRun(50, func() { err = h.Verify(exampleSeed(), p, solution) }); n != 0 || !errors.Is(err, ErrUnsolved) {
		t.Fatalf("junk: %v allocations, %v", n, err)
	}
}

// cpu is the processor time that this process has used. A machine that does other work beside a benchmark slows it down by
// the clock, and not by this.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHashWX_Verify is one sub-puzzle: SHA-256, a function never seen before, one hash, and the error of a miss. The
// rate is by processor time: that of one core.
func BenchmarkHashWX_Verify(b *testing.B) {
	h := NewHashWX()
	p := Params{Algorithm: HashWXID, SubPuzzles: 1, K: 32768, Difficulty: 90000}
	seed, solution := exampleSeed(), make([]byte, NonceSize)
	b.ReportAllocs()
	began := cpu(b)
	for i := 0; b.Loop(); i++ {
		binary.LittleEndian.PutUint64(solution, uint64(i)<<15)
		_ = h.Verify(seed, p, solution)
	}
	b.ReportMetric(float64(b.N)/(cpu(b)-began).Seconds(), "bench:puzzle.verify:subpuzzles/s")
}

// BenchmarkHashWX_Solve is what a Go solver that interprets gets out of one core, by processor time.
func BenchmarkHashWX_Solve(b *testing.B) {
	h := NewHashWX()
	p := Params{Algorithm: HashWXID, SubPuzzles: 1, K: 32768, Difficulty: MaxDifficulty}
	began, looks := cpu(b), 0
	for i := 0; b.Loop(); i++ {
		seed := sha256.Sum256(binary.LittleEndian.AppendUint64(nil, uint64(i)))
		n := 0
		_, err := h.Solve(seed, p, func() bool { n++; return n > 128 })
		if err != nil && !errors.Is(err, ErrStopped) {
			b.Fatal(err)
		}
		looks += n - 1
	}
	b.ReportMetric(float64(looks*stopEvery)/(cpu(b)-began).Seconds(), "bench:puzzle.native:hashes/s")
}

func BenchmarkHashWX_Hash(b *testing.B) {
	h, seed := NewHashWX(), exampleSeed()
	var f function
	f.fill(&seed, &h.tables)
	for i := 0; b.Loop(); i++ {
		f.hash(uint64(i))
	}
}
