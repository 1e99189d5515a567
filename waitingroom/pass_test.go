package waitingroom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

const passInstant = 1_800_000_000_500_000

func passKey(id uint32, notBefore int64) token.Key {
	k := token.Key{ID: id, NotBefore: notBefore}
	k.Secret[0] = byte(id)
	return k
}

func newPasses(t *testing.T, keys ...token.Key) *Passes {
	t.Helper()
	p, err := NewPasses(keys)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func somePass() Pass {
	return Pass{
		Room: 42, Place: wire.ID{1}, Visitor: wire.ID{2}, ID: wire.ID{3},
		Issued: passInstant, Expires: passInstant + 900_000_000, Lane: wire.LaneShared,
	}
}

func TestPass_SaysWhatTheLogSays(t *testing.T) {
	p := newPasses(t, passKey(1, 0))
	s, err := p.Mint(somePass())
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Verify(s, 42, time.UnixMicro(passInstant))
	if err != nil {
		t.Fatal(err)
	}
	want := wire.PassClaims{Room: 42, Place: wire.Hex(wire.ID{1}), Lane: "shared"}
	if c.PassClaims != want || c.ID != wire.Hex(wire.ID{3}) || c.Subject != wire.Hex(wire.ID{2}) || c.Issuer != "fairgate" ||
		fmt.Sprint(c.Audience) != "[room:42]" || c.IssuedAt.Unix() != 1_800_000_000 || c.ExpiresAt.Unix() != 1_800_000_900 {
		t.Errorf("claims %+v", c)
	}
}

func TestPass_SameBytesFromEveryEdge(t *testing.T) {
	here := newPasses(t, passKey(1, 0))
	there := newPasses(t, passKey(2, passInstant+1), passKey(1, 0))
	a, err := here.Mint(somePass())
	if err != nil {
		t.Fatal(err)
	}
	b, err := there.Mint(somePass())
	if err != nil || a != b {
		t.Errorf("%s\n%s\n%v", a, b, err)
	}
	later := somePass()
	later.Issued++
	c, err := there.Mint(later)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := here.Verify(c, 42, time.UnixMicro(passInstant)); !errors.Is(err, jwt.ErrTokenUnverifiable) {
		t.Errorf("a pass of a key that is not in the ring: %v", err)
	}
}

func TestPass_EachForgeryIsRefused(t *testing.T) {
	p := newPasses(t, passKey(1, 0))
	s, err := p.Mint(somePass())
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMicro(passInstant)
	check := func(name, pass string, room int64, now time.Time, want error) {
		t.Helper()
		if _, err := p.Verify(pass, room, now); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	check("another room", s, 43, now, jwt.ErrTokenInvalidAudience)
	check("expired", s, 42, now.Add(900*time.Second), jwt.ErrTokenExpired)
	check("not a token", "x", 42, now, jwt.ErrTokenMalformed)
	part := strings.Split(s, ".")
	check("no signature", part[0]+"."+part[1]+".", 42, now, jwt.ErrTokenSignatureInvalid)

	unsigned := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"iss": "fairgate"})
	unsigned.Header["kid"] = "1"
	none, err := unsigned.SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	check("algorithm none", none, 42, now, jwt.ErrTokenSignatureInvalid)
	// The public key as an HMAC secret: the classic confusion of algorithms.
	confused := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": "fairgate"})
	confused.Header["kid"] = "1"
	hs, err := confused.SignedString(p.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	check("another algorithm", hs, 42, now, jwt.ErrTokenSignatureInvalid)
	stranger := passKey(1, 0)
	stranger.Secret[1] = 9
	forged, err := newPasses(t, stranger).Mint(somePass())
	if err != nil {
		t.Fatal(err)
	}
	check("another key under our name", forged, 42, now, jwt.ErrTokenSignatureInvalid)
	for i := range len(s) {
		c := byte('A')
		if s[i] == c {
			c = 'B'
		}
		if s[i] != '.' {
			if _, err := p.Verify(s[:i]+string(c)+s[i+1:], 42, now); err == nil {
				t.Errorf("character %d changed unnoticed", i)
			}
		}
	}
}

func TestPass_JWKSHoldsEveryPublicKeyAndNoSecret(t *testing.T) {
	a := newPasses(t, passKey(1, 0), passKey(2, 9))
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(a.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 2 || set.Keys[0]["kid"] != "1" || set.Keys[1]["kid"] != "2" || set.Keys[0]["kty"] != "OKP" ||
		set.Keys[0]["crv"] != "Ed25519" || set.Keys[0]["d"] != "" || len(set.Keys[0]["x"]) != 43 {
		t.Errorf("%s", a.JWKS())
	}
}

func TestPass_OnlyAdmissionsMakeOne(t *testing.T) {
	outcome := func(body wire.Body) wire.Outcome {
		var o wire.Outcomes
		o.Begin(1, 2, wire.Record{Object: 42, Ref: wire.ID{1}})
		o.Add(body)
		o.End()
		out, err := wire.ParseOutcome(o.At(0))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	p, err := PassOf(outcome(&wire.Claimed{Visitor: wire.ID{2}, Pass: wire.ID{3}, Issued: passInstant,
		Expires: passInstant + 900_000_000, Lane: wire.LaneShared}))
	if err != nil || p != somePass() {
		t.Errorf("claimed: %+v %v", p, err)
	}
	p, err = PassOf(outcome(&wire.PassReturned{Visitor: wire.ID{2}, Pass: wire.ID{3}, Issued: passInstant,
		Expires: passInstant + 900_000_000, Lane: wire.LaneShared}))
	if err != nil || p != somePass() {
		t.Errorf("returned: %+v %v", p, err)
	}
	if _, err := PassOf(outcome(&wire.SlotGiven{})); !errors.Is(err, wire.ErrKind) {
		t.Errorf("a reserved slot is no admission: %v", err)
	}
}
