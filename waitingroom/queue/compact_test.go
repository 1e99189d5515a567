package queue

import (
	"testing"

	"pgregory.net/rapid"
)

// TestMarks_AgreeWithAMap holds whatever the hashes are: few segments, few marks, all of them one.
func TestMarks_AgreeWithAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spread := rapid.SampledFrom([]uint64{1, 1 << 42, 1 << 52, 0x9e3779b97f4a7c15}).Draw(t, "spread")
		few := rapid.Uint64Range(1, 3000).Draw(t, "keys")
		var m marks32
		var keys []uint64 // by number
		newest := map[uint64]uint32{}
		hash := func(i uint32) uint64 { return keys[i] * spread }
		for range rapid.IntRange(1, 3000).Draw(t, "steps") {
			key := rapid.Uint64Range(1, few).Draw(t, "key")
			number := uint32(len(keys))
			keys = append(keys, key)
			is := func(i uint32) bool { return keys[i] == key }
			old, known := newest[key]
			if got, ok := m.find(key*spread, is); ok != known || ok && got != old {
				t.Fatalf("key %d: found %d %v, want %d %v", key, got, ok, old, known)
			}
			at, found := m.search(key*spread, is)
			switch {
			case found != known:
				t.Fatalf("key %d: found %v", key, found)
			case known:
				at.replace(number)
			case number%2 == 0:
				m.put(key*spread, number, hash)
			default:
				m.putAt(at, key*spread, number, hash)
			}
			newest[key] = number
		}
		for key, want := range newest {
			if got, ok := m.find(key*spread, func(i uint32) bool { return keys[i] == key }); !ok || got != want {
				t.Fatalf("key %d: %d %v, want %d", key, got, ok, want)
			}
		}
	})
}

func TestMarks_LoseNothingWhereTheyAreDivided(t *testing.T) {
	var m marks32
	hash := func(i uint32) uint64 { return mix(uint64(i), 1) }
	found := func(i uint32) bool {
		got, ok := m.find(hash(i), func(n uint32) bool { return n == i })
		return ok && got == i
	}
	for n := range uint32(fewMost + 2) {
		if found(n) {
			t.Fatalf("%d is in too soon", n)
		}
		if m.put(hash(n), n, hash); n%oneMost > 1 {
			continue
		}
		for i := range n + 1 {
			if !found(i) {
				t.Fatalf("of %d the %d is not found", n+1, i)
			}
		}
	}
	if len(m.many) != 1<<manyBits {
		t.Errorf("%d segments", len(m.many))
	}
}
