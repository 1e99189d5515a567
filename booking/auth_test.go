package booking_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fairgate/booking"
	"fairgate/internal/conf"
)

// issuer is somebody who signs bearer tokens and publishes the keys.
type issuer struct {
	*httptest.Server
	keys    atomic.Pointer[map[string]ed25519.PrivateKey]
	fetched atomic.Int32
}

func newIssuer(t *testing.T) *issuer {
	i := &issuer{}
	i.rotate("k1")
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		i.fetched.Add(1)
		var keys []string
		for kid, key := range *i.keys.Load() {
			x := base64.RawURLEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
			keys = append(keys, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":%q,"x":%q}`, kid, x))
		}
		_, _ = fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ","))
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) rotate(kid string) {
	_, key, _ := ed25519.GenerateKey(nil)
	i.keys.Store(&map[string]ed25519.PrivateKey{kid: key})
}

func (i *issuer) token(t *testing.T, claims jwt.MapClaims) string {
	for kid, key := range *i.keys.Load() {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
		token.Header["kid"] = kid
		s, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return ""
}

func claims(sub string) jwt.MapClaims {
	return jwt.MapClaims{"sub": sub, "iss": "https://id.example", "aud": "shop", "exp": time.Now().Add(time.Hour).Unix()}
}

func TestAuth_BearerTokenSaysWhoTheUserIs(t *testing.T) {
	id := newIssuer(t)
	w := newWorld(t, func(w *world) {
		w.cfg.Auth, w.cfg.JWKSURL, w.cfg.Issuer, w.cfg.Audience = booking.AuthJWT, id.URL, "https://id.example", "shop"
		w.cfg.GuestKey = ""
	})
	w.eventually("the keys", func() bool { return w.api.Ready(t.Context()) == nil })
	alice := []string{"Authorization", "Bearer " + id.token(t, claims("alice"))}
	b := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""), alice...)
	w.want(200, "GET", "/booking/"+b.text("id"), "", alice...)
	w.want(200, "GET", "/users/alice/bookings", "", alice...)
	w.want(403, "POST", "/booking", bodyOf("bob", concert, ""), alice...)
	w.want(403, "GET", "/users/bob/notifications", "", alice...)
	r := w.want(401, "GET", "/booking/"+b.text("id"), "")
	if !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("headers %v", r.Header)
	}
	bob := id.token(t, claims("bob"))
	w.want(403, "GET", "/booking/"+b.text("id"), "", "Authorization", "Bearer "+bob)
	spoiled := func(change func(jwt.MapClaims)) string {
		c := claims("alice")
		change(c)
		return "Bearer " + id.token(t, c)
	}
	none, _ := jwt.NewWithClaims(jwt.SigningMethodNone, claims("alice")).SignedString(jwt.UnsafeAllowNoneSignatureType)
	for name, header := range map[string]string{
		"expired":      spoiled(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Minute).Unix() }),
		"no expiry":    spoiled(func(c jwt.MapClaims) { delete(c, "exp") }),
		"issuer":       spoiled(func(c jwt.MapClaims) { c["iss"] = "https://evil.example" }),
		"audience":     spoiled(func(c jwt.MapClaims) { c["aud"] = "another" }),
		"no subject":   spoiled(func(c jwt.MapClaims) { delete(c, "sub") }),
		"bad subject":  spoiled(func(c jwt.MapClaims) { c["sub"] = "a b" }),
		"unsigned":     "Bearer " + none,
		"tampered":     "Bearer " + tamper(bob),
		"not a token":  "Bearer x",
		"other scheme": "Basic YWxpY2U6",
	} {
		if r := w.call("GET", "/users/alice/bookings", "", "Authorization", header); r.StatusCode != 401 {
			t.Errorf("%s: answered %d %s", name, r.StatusCode, r.body)
		}
	}
	service := []string{"Service-Key", w.cfg.ServiceKey.Reveal()}
	w.want(200, "GET", "/booking/"+b.text("id"), "", service...)
	w.want(201, "POST", "/booking", bodyOf("carol", concert, ""), service...)
}

func TestAuth_RotatedKeysAreFetchedOnce(t *testing.T) {
	id := newIssuer(t)
	w := newWorld(t, func(w *world) { w.cfg.Auth, w.cfg.JWKSURL = booking.AuthJWT, id.URL })
	w.eventually("the keys", func() bool { return w.api.Ready(t.Context()) == nil })
	old := id.token(t, claims("alice"))
	id.rotate("k2")
	before := id.fetched.Load()
	w.want(200, "GET", "/users/alice/bookings", "", "Authorization", "Bearer "+id.token(t, claims("alice")))
	for range 5 {
		w.want(401, "GET", "/users/alice/bookings", "", "Authorization", "Bearer "+old)
	}
	if n := id.fetched.Load() - before; n != 1 {
		t.Errorf("%d fetches for one rotation and five stale tokens", n)
	}
}

func TestAuth_GuestCookieStandsForTheUser(t *testing.T) {
	w := newWorld(t)
	cookie := w.guestCookie()
	subject, _, _ := strings.Cut(strings.TrimPrefix(cookie, "fg_guest="), ".")
	b := w.want(201, "POST", "/booking", fmt.Sprintf(`{"eventId":%d}`, concert), "Cookie", cookie)
	if b.text("userId") != subject {
		t.Errorf("booked for %s, is %s", b.text("userId"), subject)
	}
	w.want(201, "POST", "/booking", bodyOf("bob", concert, ""), "Cookie", cookie, "Service-Key", w.cfg.ServiceKey.Reveal())
	w.want(200, "GET", "/booking/"+b.text("id"), "", "Cookie", cookie)
	w.want(403, "GET", "/booking/"+b.text("id"), "", "Cookie", w.guestCookie())
}

func TestConfig_NamesWhatCannotWork(t *testing.T) {
	long := conf.Secret("sixteen bytes at least")
	for _, c := range []struct {
		cfg  booking.Config
		want string
	}{
		{booking.Config{}, "guestKey"},
		{booking.Config{GuestKey: "short"}, "guestKey"},
		{booking.Config{GuestKey: long}, ""},
		{booking.Config{Auth: "basic"}, "auth"},
		{booking.Config{Auth: "jwt"}, "jwksURL"},
		{booking.Config{Auth: "jwt", JWKSURL: "https://id.example/keys"}, ""},
		{booking.Config{GuestKey: long, ServiceKey: "short"}, "serviceKey"},
		{booking.Config{GuestKey: long, PublicURL: "shop.example"}, "publicURL"},
		{booking.Config{GuestKey: long, AnswerWait: time.Minute}, "answerWait"},
	} {
		err := c.cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want+":") {
			t.Errorf("%+v: %v", c.cfg, err)
		}
		if err != nil && strings.Contains(err.Error(), "short") {
			t.Errorf("a secret in %v", err)
		}
	}
}
