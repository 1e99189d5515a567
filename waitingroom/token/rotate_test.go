package token

import (
	"bytes"
	"errors"
	"testing"

	"fairgate/internal/wire"
)

func TestRotate_OldTokensStayValidThroughTheOverlap(t *testing.T) {
	const now, begin = 1_000_000 * second, 1_000_900 * second
	old := []Key{{ID: 4, Secret: [32]byte{4}}}
	ring, err := Rotate(old, now, begin, Life, [32]byte{5})
	if err != nil {
		t.Fatal(err)
	}
	before, err := NewKeys(old)
	if err != nil {
		t.Fatal(err)
	}
	after, err := NewKeys(ring)
	if err != nil {
		t.Fatal(err)
	}
	mint := func(k *Keys, instant int64) (challenge, token []byte) {
		t.Helper()
		challenge, err := k.MintChallenge(wire.Place{Room: 7, Instant: instant, Visitor: wire.ID{1}}, Price{Difficulty: 8})
		if err != nil {
			t.Fatal(err)
		}
		ch, _, _, _ := wire.ParseChallenge(challenge)
		if token, err = k.TokenFor(&ch); err != nil {
			t.Fatal(err)
		}
		return challenge, token
	}
	// While some edges have the new ring and some do not, they say the same, byte for byte.
	last := int64(begin - 1)
	oldChallenge, oldToken := mint(before, last)
	newChallenge, newToken := mint(after, last)
	if !bytes.Equal(oldChallenge, newChallenge) || !bytes.Equal(oldToken, newToken) {
		t.Error("edges with and without the new key differ before it begins")
	}
	// The last place of the old key lives as long as any: to the microsecond before its own end.
	if _, err := after.VerifyToken(oldToken, 7, wire.ID{1}, last+Life-1); err != nil {
		t.Errorf("an old token, at its end: %v", err)
	}
	if _, _, err := after.Renew(oldChallenge, 7, wire.ID{1}, begin+100*second, 0); err != nil {
		t.Errorf("renewing an old challenge: %v", err)
	}
	if _, err := after.VerifyToken(oldToken, 7, wire.ID{1}, begin+Life); !errors.Is(err, ErrKey) {
		t.Errorf("after the overlap: %v", err)
	}
	// From begin on the new key signs, and the old one cannot.
	_, fresh := mint(after, begin)
	if tok, _, _, _ := wire.ParseToken(fresh); tok.KeyID != 5 {
		t.Errorf("signed by key %d", tok.KeyID)
	}
	_, forged := mint(before, begin)
	if _, err := after.VerifyToken(forged, 7, wire.ID{1}, begin+second); !errors.Is(err, ErrKey) {
		t.Errorf("the old key signs a later arrival: %v", err)
	}
}

func TestRotate_AgainAndAgainKeepsTheRingSmall(t *testing.T) {
	ring := []Key{{ID: 1, Secret: [32]byte{1}}}
	for n := range int64(50) {
		now := (1 + n) * Life
		var err error
		if ring, err = Rotate(ring, now, now+900*second, Life, [32]byte{byte(n + 2)}); err != nil {
			t.Fatal(err)
		}
		if len(ring) > 3 || ring[len(ring)-1].ID != uint32(n+2) {
			t.Fatalf("after %d rotations: %v", n+1, ring)
		}
	}
	// Receipts are for ever: no key ends.
	ring, err := Rotate([]Key{{ID: 1, Secret: [32]byte{1}}}, 1, 2, 0, [32]byte{2})
	if err != nil || len(ring) != 2 || ring[0].NotAfter != 0 {
		t.Errorf("%v, %v", ring, err)
	}
}

func TestRotate_RefusesWhatWouldMakeTheChoiceOfAKeyUnclear(t *testing.T) {
	for name, c := range map[string]struct {
		keys       []Key
		now, begin int64
	}{
		"at once":                    {[]Key{{ID: 1, Secret: [32]byte{1}}}, 10, 10},
		"before one that waits":      {[]Key{{ID: 1, Secret: [32]byte{1}}, {ID: 2, Secret: [32]byte{2}, NotBefore: 50}}, 10, 40},
		"beyond the greatest number": {[]Key{{ID: 1<<32 - 1, Secret: [32]byte{1}}}, 10, 20},
	} {
		if _, err := Rotate(c.keys, c.now, c.begin, Life, [32]byte{9}); !errors.Is(err, ErrRotate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Rotate(nil, 1, 2, Life, [32]byte{9}); err == nil {
		t.Error("a ring of nothing")
	}
}
