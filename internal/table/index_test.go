package table

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// book is an Index with its entries beside it, and a map that knows better.
type book struct {
	index Index
	keys  Slab[Key]
	want  map[Key]int32
}

func newBook() *book { return &book{want: map[Key]int32{}} }

func (b *book) find(k Key) int32 {
	return b.index.Find(k, func(at int32) bool { return *b.keys.At(at) == k })
}

func (b *book) put(k Key) {
	at := b.keys.Put(k)
	b.index.Put(k, at)
	b.want[k] = at
}

func (b *book) remove(k Key) {
	at := b.want[k]
	b.index.Remove(k, at)
	b.keys.Drop(at)
	delete(b.want, k)
}

// move gives the key's entry another number.
func (b *book) move(k Key) {
	from := b.want[k]
	to := b.keys.Put(k)
	b.index.Move(k, from, to)
	b.keys.Drop(from)
	b.want[k] = to
}

func (b *book) check(t tester, k Key) {
	t.Helper()
	want, known := b.want[k]
	if !known {
		want = None
	}
	if got := b.find(k); got != want {
		t.Fatalf("%v is %d, want %d", k, got, want)
	}
	b.index.Prefetch(k)
	if known && b.index.Guess(k) == None || b.index.Len() != len(b.want) || b.keys.Len() != len(b.want) {
		t.Fatalf("%d entries in the index, %d in the table, want %d", b.index.Len(), b.keys.Len(), len(b.want))
	}
}

type tester interface {
	Helper()
	Fatalf(string, ...any)
}

func TestIndex_KnowsWhatAMapKnows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook()
		few := rapid.Uint64Range(1, 5_000).Draw(t, "keys")
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		for range rapid.IntRange(1, 6_000).Draw(t, "steps") {
			k := Key{High: r.Uint64N(few), Low: 1, In: int32(r.IntN(2))}
			_, known := b.want[k]
			switch {
			case !known:
				b.put(k)
			case r.IntN(3) == 0:
				b.move(k)
			default:
				b.remove(k)
			}
			b.check(t, k)
			b.check(t, Key{High: r.Uint64N(few), Low: 1})
		}
		for k := range b.want {
			b.check(t, k)
		}
	})
}

func TestIndex_GrowsThroughSplitsAndShrinksToNothing(t *testing.T) {
	b := newBook()
	r := rand.New(rand.NewPCG(1, 2))
	var keys []Key
	for range 100_000 {
		k := Key{High: r.Uint64(), Low: r.Uint64()}
		keys = append(keys, k)
		b.put(k)
	}
	if b.index.crowded != nil || b.index.depth < 3 {
		t.Fatalf("%d are crowded, the directory's depth is %d", len(b.index.crowded), b.index.depth)
	}
	if each := float64(b.index.Bytes()) / 100_000; each < 8/0.625 || each > 2*8/0.625+1 {
		t.Errorf("%.1f bytes an entry", each)
	}
	for i, k := range keys {
		b.check(t, k)
		if i%2 == 0 {
			b.remove(k)
		}
	}
	for i, k := range keys {
		if b.check(t, k); i%2 == 1 {
			b.remove(k)
			b.check(t, k)
		}
	}
}

// hostile gives keys that all belong to one place: whoever knows the mixing can find them.
func hostile(n int) []Key {
	r := rand.New(rand.NewPCG(3, 4))
	var keys []Key
	for len(keys) < n {
		// The product with zero is zero, whatever the other half is.
		keys = append(keys, Key{High: r.Uint64(), Low: 0x13198a2e03707344})
	}
	return keys
}

func TestIndex_HostileIdsDoNotDegradeIt(t *testing.T) {
	b := newBook()
	for _, k := range hostile(50_000) {
		b.put(k)
	}
	if len(b.index.crowded) < 40_000 {
		t.Fatalf("only %d are crowded: the keys are not hostile", len(b.index.crowded))
	}
	if n := b.index.Bytes(); n > 1<<20 {
		t.Errorf("the directory grew to %d bytes for them", n)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		b.put(Key{High: r.Uint64(), Low: r.Uint64()})
	}
	for _, s := range b.index.directory {
		run, longest := 0, 0
		for _, slot := range s.slots {
			if run++; slot == 0 {
				run = 0
			}
			longest = max(longest, run)
		}
		if longest > 4*reach {
			t.Fatalf("%d slots in a row are used", longest)
		}
	}
	for _, k := range hostile(50_000) {
		b.check(t, k)
		b.remove(k)
		b.check(t, k)
	}
	for k := range b.want {
		b.check(t, k)
	}
}

func TestIndex_PutAndRemoveAllocateNothing(t *testing.T) {
	b := newBook()
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		b.put(Key{High: r.Uint64(), Low: r.Uint64()})
	}
	n := uint64(0)
	if got := testing.AllocsPerRun(10_000, func() {
		n++
		k := Key{High: n, Low: 7}
		at := b.keys.Put(k)
		b.index.Put(k, at)
		if b.find(k) != at {
			t.Fatal("lost")
		}
		b.index.Remove(k, at)
		b.keys.Drop(at)
	}); got != 0 {
		t.Errorf("%v allocations", got)
	}
}
