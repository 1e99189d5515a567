package token

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fairgate/internal/wire"
)

var update = flag.Bool("update", false, "write golden bytes anew: only for a layout that was never released")

const (
	t0   = 1_800_000_000 * second
	room = 42
)

var visitor = VisitorHash([VisitorSize]byte{1, 2, 3})

func key(id uint32, notBefore, notAfter int64) Key {
	k := Key{ID: id, NotBefore: notBefore, NotAfter: notAfter}
	for i := range k.Secret {
		k.Secret[i] = byte(id) + byte(i)
	}
	return k
}

func keys(t testing.TB, list ...Key) *Keys {
	t.Helper()
	if list == nil {
		list = []Key{key(1, 0, 0)}
	}
	k, err := NewKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func place() wire.Place {
	return wire.Place{
		Room: room, Lane: wire.LaneInvited, Instant: t0, Edge: 7, Visitor: visitor, Narrow: 11, Wide: 12, Carrier: true,
		Random: wire.ID{9, 8, 7},
	}
}

func mint(t testing.TB, k *Keys) []byte {
	t.Helper()
	b, err := k.MintChallenge(place(), Price{Algorithm: 2, SubPuzzles: 8, K: 128, Difficulty: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tokenOf(t testing.TB, k *Keys, ch wire.Challenge) []byte {
	t.Helper()
	b, err := k.TokenFor(&ch)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChallenge_SaysWhatWasMinted(t *testing.T) {
	k := keys(t)
	ch, err := k.VerifyChallenge(mint(t, k), room, visitor, t0+5*second, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Challenge{KeyID: 1, Place: place(), Expires: t0 + ChallengeLife, Algorithm: 2, Sub: 8, K: 128, Difficulty: 5000}
	if ch != want {
		t.Errorf("got %+v, want %+v", ch, want)
	}
	id, join := Join(&ch)
	if id != ch.TokenID() || join.Instant != t0 || join.Visitor != visitor || join.Narrow != 11 || join.Wide != 12 ||
		join.Edge != 7 || join.Lane != wire.LaneInvited || !join.Carrier || join.Algorithm != 2 || join.Difficulty != 5000 {
		t.Errorf("record %x %+v", id, join)
	}
}

func TestChallenge_EachFailureHasItsError(t *testing.T) {
	k := keys(t)
	good := mint(t, k)
	ch, _ := k.VerifyChallenge(good, room, visitor, t0, 0)
	bad := bytes.Clone(good)
	bad[len(bad)-1] ^= 1
	foreign, err := keys(t, key(2, 0, 0)).MintChallenge(place(), Price{})
	if err != nil {
		t.Fatal(err)
	}
	other := key(1, 0, 0)
	other.Secret[0] ^= 1
	forged := mint(t, keys(t, other))
	for _, c := range []struct {
		name    string
		b       []byte
		room    int64
		visitor wire.ID
		now     int64
		want    error
	}{
		{"empty", nil, room, visitor, t0, ErrForm},
		{"truncated", good[:len(good)-1], room, visitor, t0, ErrForm},
		{"longer", append(bytes.Clone(good), 0), room, visitor, t0, ErrForm},
		{"a token", tokenOf(t, k, ch), room, visitor, t0, ErrForm},
		{"another version", append([]byte{2}, good[1:]...), room, visitor, t0, ErrForm},
		{"foreign key id", foreign, room, visitor, t0, ErrKey},
		{"our key id, another secret", forged, room, visitor, t0, ErrMAC},
		{"tampered MAC", bad, room, visitor, t0, ErrMAC},
		{"another room", good, room + 1, visitor, t0, ErrRoom},
		{"another visitor", good, room, wire.ID{1}, t0, ErrVisitor},
		{"from the future", good, room, visitor, t0 - Ahead - 1, ErrFuture},
		{"expired", good, room, visitor, t0 + ChallengeLife, ErrExpired},
	} {
		if _, err := k.VerifyChallenge(c.b, c.room, c.visitor, c.now, 0); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := k.VerifyChallenge(good, room, visitor, t0+ChallengeLife-1, 0); err != nil {
		t.Errorf("in its last microsecond: %v", err)
	}
	if _, err := k.VerifyChallenge(good, room, visitor, t0-Ahead, 0); err != nil {
		t.Errorf("from an edge whose clock runs ahead within the allowance: %v", err)
	}
}

func TestChallenge_OutagesDoNotCount(t *testing.T) {
	k := keys(t)
	b := mint(t, k)
	late := int64(t0 + 10*60*second)
	if _, err := k.VerifyChallenge(b, room, visitor, late, 9*60*second); err != nil {
		t.Errorf("nine of the ten minutes were an outage: %v", err)
	}
	if _, err := k.VerifyChallenge(b, room, visitor, late, 7*60*second); !errors.Is(err, ErrExpired) {
		t.Errorf("three minutes ran: %v", err)
	}
	if _, err := k.VerifyChallenge(b, room, visitor, t0+ChallengeLife, -second); !errors.Is(err, ErrExpired) {
		t.Errorf("a negative outage: %v", err)
	}
}

func TestChallenge_EveryByteIsSigned(t *testing.T) {
	k := keys(t, key(1, 0, 0), key(3, 5, 0))
	b := mint(t, k)
	ch, _ := k.VerifyChallenge(b, room, visitor, t0, 0)
	tok := tokenOf(t, k, ch)
	for i := range b {
		for bit := range 8 {
			bad := bytes.Clone(b)
			bad[i] ^= 1 << bit
			if _, err := k.VerifyChallenge(bad, room, visitor, t0, 0); err == nil {
				t.Errorf("challenge: bit %d of byte %d flipped unnoticed", bit, i)
			}
			if _, _, err := k.Renew(bad, room, visitor, t0, 0); err == nil {
				t.Errorf("renewal: bit %d of byte %d flipped unnoticed", bit, i)
			}
		}
	}
	for i := range tok {
		for bit := range 8 {
			bad := bytes.Clone(tok)
			bad[i] ^= 1 << bit
			if _, err := k.VerifyToken(bad, room, visitor, t0); err == nil {
				t.Errorf("token: bit %d of byte %d flipped unnoticed", bit, i)
			}
		}
	}
}

func TestChallenge_RenewedOnceForTheSamePlace(t *testing.T) {
	k := keys(t)
	b := mint(t, k)
	first, _ := k.VerifyChallenge(b, room, visitor, t0, 0)
	again, ch, err := k.Renew(b, room, visitor, t0+ChallengeLife+10*second, 0)
	if err != nil {
		t.Fatal(err)
	}
	if ch.Instant != first.Instant || ch.TokenID() != first.TokenID() || ch.Difficulty != first.Difficulty {
		t.Errorf("the renewal is another place: %+v", ch)
	}
	if ch.Seed() == first.Seed() {
		t.Error("a solution of the expired challenge fits the renewal")
	}
	got, err := k.VerifyChallenge(again, room, visitor, t0+Allowance-1, 0)
	if err != nil || got != ch {
		t.Errorf("renewal read as %+v: %v", got, err)
	}
	if _, err := k.VerifyChallenge(again, room, visitor, t0+Allowance, 0); !errors.Is(err, ErrExpired) {
		t.Errorf("renewal past the allowance: %v", err)
	}
	if _, _, err := k.Renew(again, room, visitor, t0+ChallengeLife, 0); !errors.Is(err, ErrRenewed) {
		t.Errorf("renewed twice: %v", err)
	}
	if _, _, err := k.Renew(b, room, visitor, t0+Allowance, 0); !errors.Is(err, ErrExpired) {
		t.Errorf("renewed past the allowance: %v", err)
	}
	if _, _, err := k.Renew(b, room, wire.ID{5}, t0, 0); !errors.Is(err, ErrVisitor) {
		t.Errorf("renewed by somebody else: %v", err)
	}
}

func TestToken_SameBytesWhereverAndWheneverMinted(t *testing.T) {
	here := keys(t, key(1, 0, 0), key(2, t0+60*second, 0))
	there := keys(t, key(2, t0+60*second, 0), key(1, 0, t0+2*Life), key(9, t0+3600*second, 0))
	b := mint(t, here)
	ch, err := there.VerifyChallenge(b, room, visitor, t0+70*second, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, renewed, err := there.Renew(b, room, visitor, t0+150*second, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := tokenOf(t, here, ch)
	if !bytes.Equal(tokenOf(t, there, ch), want) || !bytes.Equal(tokenOf(t, there, renewed), want) {
		t.Error("two edges mint different tokens for one place")
	}
	tok, err := there.VerifyToken(want, room, visitor, t0+Life-1)
	if err != nil || tok.ID != ch.TokenID() || tok.KeyID != 1 || tok.Place != place() {
		t.Errorf("token %+v: %v", tok, err)
	}
}

func TestToken_EachFailureHasItsError(t *testing.T) {
	k := keys(t)
	b := mint(t, k)
	ch, _ := k.VerifyChallenge(b, room, visitor, t0, 0)
	tok := tokenOf(t, k, ch)
	check := func(name string, want error, b []byte, room int64, v wire.ID, now int64) {
		t.Helper()
		if _, err := k.VerifyToken(b, room, v, now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	check("a challenge", ErrForm, b, room, visitor, t0)
	check("truncated", ErrForm, tok[1:], room, visitor, t0)
	check("another room", ErrRoom, tok, 1, visitor, t0)
	check("a stolen token", ErrVisitor, tok, room, wire.ID{}, t0)
	check("expired", ErrExpired, tok, room, visitor, t0+Life)
	check("from the future", ErrFuture, tok, room, visitor, t0-10*second)
}

func TestKeys_RotateWithOverlap(t *testing.T) {
	turn, retired := int64(t0+60*second), int64(t0+60*second+Life)
	k := keys(t, key(1, 0, retired), key(2, turn, 0))
	old := mint(t, k)
	ch, err := k.VerifyChallenge(old, room, visitor, turn+second, 0)
	if err != nil {
		t.Fatalf("signed by the old key just before the turn: %v", err)
	}
	tok := tokenOf(t, k, ch)
	if _, err := k.VerifyToken(tok, room, visitor, t0+Life-1); err != nil {
		t.Errorf("an old token within the overlap: %v", err)
	}
	if _, err := k.VerifyToken(tok, room, visitor, retired); !errors.Is(err, ErrKey) {
		t.Errorf("a token of a retired key: %v", err)
	}
	p := place()
	p.Instant = turn
	b, err := k.MintChallenge(p, Price{})
	if err != nil {
		t.Fatal(err)
	}
	if ch, err := k.VerifyChallenge(b, room, visitor, turn, 0); err != nil || ch.KeyID != 2 {
		t.Errorf("at the turn the new key signs: %+v %v", ch, err)
	}
	// Whoever has the old key signs a place after the turn with it.
	stolen, err := keys(t, key(1, 0, 0)).MintChallenge(p, Price{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.VerifyChallenge(stolen, room, visitor, turn, 0); !errors.Is(err, ErrKey) {
		t.Errorf("the old key signed an arrival after its turn: %v", err)
	}
	if _, err := keys(t, key(1, t0+second, 0)).MintChallenge(place(), Price{}); !errors.Is(err, ErrKey) {
		t.Errorf("minted before the first key began: %v", err)
	}
}

func TestRing_RefusesAmbiguousKeys(t *testing.T) {
	empty := Key{ID: 4}
	for name, list := range map[string][]Key{
		"no keys":       {},
		"too many":      make([]Key, MaxKeys+1),
		"no id":         {key(0, 0, 0)},
		"empty secret":  {empty},
		"ends too soon": {key(1, 5, 5)},
		"same begin":    {key(1, 5, 0), key(2, 5, 0)},
		"same id":       {key(1, 5, 0), key(1, 6, 0)},
	} {
		if _, err := NewRing(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestKey_TextRoundTripsAndPrintsNoSecret(t *testing.T) {
	k := key(7, 5*second, 9*second)
	list, err := ParseKeys("# keys\n\n" + k.Text() + "\n  " + key(8, 6*second, 0).Text() + "  \n")
	if err != nil || len(list) != 2 || list[0] != k || list[1] != key(8, 6*second, 0) {
		t.Fatalf("%v %v", list, err)
	}
	secret := hex.EncodeToString(k.Secret[:])
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%+v %#v %s", k, k, []Key{k})} {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprint(k.Secret)) {
			t.Errorf("the secret was printed: %s", s)
		}
	}
	for _, s := range []string{"", "1 2 3", "0 0 0 " + secret, "1 -1 0 " + secret, "1 0 0 " + secret[2:],
		"1 0 0 zz" + secret[2:], "4294967296 0 0 " + secret, "1 0 99999999999999 " + secret} {
		if _, err := ParseKeys("\n" + s + "x"); s != "" && !errors.Is(err, ErrKeyText) {
			t.Errorf("%q: %v", s, err)
		}
		if _, err := ParseKey(s); !errors.Is(err, ErrKeyText) {
			t.Errorf("%q: %v", s, err)
		} else if strings.Contains(err.Error(), secret[:16]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func TestText_HasOneSpellingOnly(t *testing.T) {
	b := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255}
	s := Text(b)
	if got, err := FromText(s, 16); err != nil || !bytes.Equal(got, b) {
		t.Fatalf("%x %v", got, err)
	}
	for _, bad := range []string{"", s[:21], s + "A", s + "=", s[:21] + "_", s[:20] + "\n" + s[20:21], s[:21] + "+"} {
		if _, err := FromText(bad, 16); !errors.Is(err, ErrForm) {
			t.Errorf("%q accepted", bad)
		}
	}
}

func TestChallengeAndToken_GoldenBytes(t *testing.T) {
	k := keys(t)
	b := mint(t, k)
	ch, _ := k.VerifyChallenge(b, room, visitor, t0, 0)
	renewed, _, err := k.Renew(b, room, visitor, t0, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%x\n%x\n%x\n", b, renewed, tokenOf(t, k, ch))
	path := filepath.Join("testdata", "golden.hex")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the bytes changed:\n got %s\nwant %s", got, want)
	}
}

func FuzzVerify(f *testing.F) {
	k := keys(f)
	b := mint(f, k)
	ch, _ := k.VerifyChallenge(b, room, visitor, t0, 0)
	tok := tokenOf(f, k, ch)
	f.Add(b)
	f.Add(tok)
	f.Add(b[:40])
	f.Fuzz(func(t *testing.T, in []byte) {
		// The fuzzer has no key: whatever it makes is refused, unless it is what we minted.
		if _, err := k.VerifyChallenge(in, room, visitor, t0, 0); err == nil && !bytes.Equal(in, b) {
			t.Errorf("accepted a challenge that we did not mint: %x", in)
		}
		if _, err := k.VerifyToken(in, room, visitor, t0); err == nil && !bytes.Equal(in, tok) {
			t.Errorf("accepted a token that we did not mint: %x", in)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add(key(7, 5*second, 9*second).Text())
	f.Add("1 0 0 00")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := ParseKey(s); err == nil {
			if again, err := ParseKey(k.Text()); err != nil || again != k {
				t.Errorf("%v became %v: %v", k, again, err)
			}
		}
	})
}

func BenchmarkVerifyChallenge(b *testing.B) {
	k := keys(b)
	c := mint(b, k)
	for b.Loop() {
		if _, err := k.VerifyChallenge(c, room, visitor, t0, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenFor(b *testing.B) {
	k := keys(b)
	ch, _ := k.VerifyChallenge(mint(b, k), room, visitor, t0, 0)
	for b.Loop() {
		if _, err := k.TokenFor(&ch); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSign_IsHMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := &Key{Secret: [SecretSize]byte(rapid.SliceOfN(rapid.Byte(), SecretSize, SecretSize).Draw(t, "secret"))}
		message := rapid.SliceOfN(rapid.Byte(), 0, maxSigned+10).Draw(t, "message")
		h := hmac.New(sha256.New, key.Secret[:])
		h.Write(message)
		if got := sign(key, message); !hmac.Equal(got, h.Sum(nil)) {
			t.Fatalf("%x", got)
		}
	})
	if max(wire.ChallengeSize, wire.TokenSize, wire.InviteSize) > maxSigned {
		t.Error("there is no room for what is signed most")
	}
}
