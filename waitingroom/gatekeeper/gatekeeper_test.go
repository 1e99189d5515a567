package gatekeeper_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fairgate/internal/wire"
	"fairgate/waitingroom"
	"fairgate/waitingroom/gatekeeper"
	"fairgate/waitingroom/token"
)

const room = 7

// authority is the waiting room as a gatekeeper sees it: passes, and the address of their keys.
type authority struct {
	passes *waitingroom.Passes
	reads  atomic.Int64
	answer func() (*http.Response, error) // nil for the keys
}

func newAuthority(t testing.TB, ids ...uint32) *authority {
	t.Helper()
	a := &authority{}
	a.rotate(t, ids...)
	return a
}

// rotate changes the keys; the last one signs.
func (a *authority) rotate(t testing.TB, ids ...uint32) {
	t.Helper()
	var keys []token.Key
	for i, id := range ids {
		keys = append(keys, token.Key{ID: id, NotBefore: int64(i), Secret: [32]byte{byte(id), 9}})
	}
	var err error
	if a.passes, err = waitingroom.NewPasses(keys); err != nil {
		t.Fatal(err)
	}
}

// RoundTrip answers for the address of the keys.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	a.reads.Add(1)
	if a.answer != nil {
		return a.answer()
	}
	return reply(http.StatusOK, string(a.passes.JWKS())), nil
}

func reply(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// pass is a good pass for ten minutes from now.
func (a *authority) pass(t testing.TB, change func(*waitingroom.Pass)) string {
	t.Helper()
	now := time.Now()
	p := waitingroom.Pass{Room: room, Place: wire.ID{1}, Visitor: wire.ID{2}, ID: wire.ID{3},
		Issued: now.UnixMicro(), Expires: now.Add(10 * time.Minute).UnixMicro()}
	if change != nil {
		change(&p)
	}
	text, err := a.passes.Mint(p)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (a *authority) gatekeeper(t testing.TB) *gatekeeper.Gatekeeper {
	t.Helper()
	g, err := gatekeeper.New(gatekeeper.Config{Room: room, WaitingRoom: "https://wait.example"},
		gatekeeper.Deps{Client: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func verify(t testing.TB, g *gatekeeper.Gatekeeper, pass string, want error) {
	t.Helper()
	if _, err := g.Verify(t.Context(), pass); err != want { // constant errors, by contract
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestVerify_AcceptsWhatTheWaitingRoomMints(t *testing.T) {
	a := newAuthority(t, 1)
	got, err := a.gatekeeper(t).Verify(t.Context(), a.pass(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Place != wire.Hex(wire.ID{1}) || got.Visitor != wire.Hex(wire.ID{2}) || got.Pass != wire.Hex(wire.ID{3}) || got.Lane != "normal" {
		t.Errorf("%+v", got)
	}
}

// TestVerify_RefusesEverythingElseWithOneError holds that nobody learns which check a pass failed.
func TestVerify_RefusesEverythingElseWithOneError(t *testing.T) {
	a := newAuthority(t, 1)
	good := a.pass(t, nil)
	parts := strings.Split(good, ".")
	stranger := newAuthority(t, 2)
	private := ed25519.NewKeyFromSeed(append([]byte{1, 9}, make([]byte, 30)...))
	signed := func(change func(jwt.MapClaims)) string {
		claims := jwt.MapClaims{}
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		if err := json.Unmarshal(raw, &claims); err != nil {
			t.Fatal(err)
		}
		change(claims)
		made := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
		made.Header["kid"] = "1"
		text, err := made.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	verify(t, a.gatekeeper(t), signed(func(jwt.MapClaims) {}), nil) // the forge works
	hmac := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{})
	hmac.Header["kid"] = "1"
	confused, err := hmac.SignedString([]byte(private.Public().(ed25519.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"1"}`))
	for name, pass := range map[string]string{
		"of another room":       a.pass(t, func(p *waitingroom.Pass) { p.Room = 8 }),
		"expired":               a.pass(t, func(p *waitingroom.Pass) { p.Expires = time.Now().Add(-time.Second).UnixMicro() }),
		"of a foreign key":      stranger.pass(t, nil),
		"without a signature":   header + "." + parts[1] + ".",
		"signed by a wrong alg": confused,
		"truncated":             good[:len(good)-2],
		"not a JWT":             "x",
		"too long":              strings.Repeat("x", 1<<16),
		"with claims swapped":   parts[0] + "." + strings.Split(a.pass(t, func(p *waitingroom.Pass) { p.ID = wire.ID{4} }), ".")[1] + "." + parts[2],
		"of another issuer":     signed(func(c jwt.MapClaims) { c["iss"] = "other" }),
		"without an end":        signed(func(c jwt.MapClaims) { delete(c, "exp") }),
		"without a beginning":   signed(func(c jwt.MapClaims) { delete(c, "iat") }),
		"with two rooms":        signed(func(c jwt.MapClaims) { c["room"] = 8 }),
		"without a place":       signed(func(c jwt.MapClaims) { c["place"] = "" }),
		"without a visitor":     signed(func(c jwt.MapClaims) { c["sub"] = "admin" }),
		"without an audience":   signed(func(c jwt.MapClaims) { delete(c, "aud") }),
	} {
		t.Run(name, func(t *testing.T) { verify(t, a.gatekeeper(t), pass, gatekeeper.ErrRefused) })
	}
	verify(t, a.gatekeeper(t), "", gatekeeper.ErrNoPass)
}

func TestVerify_TakesTheNearFutureAndNothingPastItsEnd(t *testing.T) {
	a := newAuthority(t, 1)
	synctest.Test(t, func(t *testing.T) {
		g := a.gatekeeper(t)
		ahead := func(d time.Duration) string {
			return a.pass(t, func(p *waitingroom.Pass) { p.Issued = time.Now().Add(d).UnixMicro() })
		}
		verify(t, g, ahead(5*time.Second), nil)
		verify(t, g, ahead(7*time.Second), gatekeeper.ErrRefused)
		pass := a.pass(t, nil)
		time.Sleep(10*time.Minute - time.Second)
		verify(t, g, pass, nil)
		time.Sleep(time.Second)
		verify(t, g, pass, gatekeeper.ErrRefused) // its slot is somebody else's
		g.Close()
	})
}

func TestKeys_AreReadOnceAndAgainWhenOld(t *testing.T) {
	a := newAuthority(t, 1)
	synctest.Test(t, func(t *testing.T) {
		g := a.gatekeeper(t)
		for range 100 {
			verify(t, g, a.pass(t, nil), nil)
		}
		if n := a.reads.Load(); n != 1 {
			t.Errorf("%d readings, want 1", n)
		}
		time.Sleep(5 * time.Minute)
		for range 100 {
			verify(t, g, a.pass(t, nil), nil)
			synctest.Wait()
		}
		if n := a.reads.Load(); n != 2 {
			t.Errorf("%d readings after five minutes, want 2", n)
		}
		g.Close()
	})
}

func TestKeys_OfARotationAreFoundAtOnce(t *testing.T) {
	a := newAuthority(t, 1)
	synctest.Test(t, func(t *testing.T) {
		g := a.gatekeeper(t)
		old := a.pass(t, nil)
		verify(t, g, old, nil)
		time.Sleep(time.Minute)
		a.rotate(t, 1, 2)
		verify(t, g, a.pass(t, nil), nil)
		verify(t, g, old, nil) // through the overlap
		time.Sleep(time.Minute)
		a.rotate(t, 2)
		verify(t, g, old, nil) // until the keys are read again
		time.Sleep(5 * time.Minute)
		verify(t, g, a.pass(t, nil), nil)
		synctest.Wait()
		verify(t, g, old, gatekeeper.ErrRefused)
		g.Close()
	})
}

// TestKeys_MadeUpOnesCauseFewReadings holds that a flood of made-up passes is not passed on to the waiting room.
func TestKeys_MadeUpOnesCauseFewReadings(t *testing.T) {
	a := newAuthority(t, 1)
	stranger := newAuthority(t, 99)
	synctest.Test(t, func(t *testing.T) {
		g := a.gatekeeper(t)
		verify(t, g, a.pass(t, nil), nil)
		for range 600 { // a minute of ten a second
			time.Sleep(100 * time.Millisecond)
			verify(t, g, stranger.pass(t, nil), gatekeeper.ErrRefused)
		}
		if n := a.reads.Load(); n > 8 {
			t.Errorf("%d readings in a minute, want at most one every ten seconds", n)
		}
		g.Close()
	})
}

func TestKeys_OldOnesServeWhileTheWaitingRoomIsAway(t *testing.T) {
	a := newAuthority(t, 1)
	synctest.Test(t, func(t *testing.T) {
		g := a.gatekeeper(t)
		verify(t, g, a.pass(t, nil), nil)
		a.answer = func() (*http.Response, error) { return nil, errors.New("away") }
		for range 23 {
			time.Sleep(time.Hour)
			verify(t, g, a.pass(t, nil), nil)
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		verify(t, g, a.pass(t, nil), gatekeeper.ErrKeys)
		before := a.reads.Load()
		for range 100 { // within the pause after a failure
			verify(t, g, a.pass(t, nil), gatekeeper.ErrKeys)
		}
		if n := a.reads.Load() - before; n != 0 {
			t.Errorf("%d readings at once after one that failed", n)
		}
		a.answer = nil
		time.Sleep(time.Second)
		verify(t, g, a.pass(t, nil), nil)
		g.Close()
	})
}

func TestKeys_OnlyAGoodSetReplacesTheOld(t *testing.T) {
	a := newAuthority(t, 1)
	for name, bad := range map[string]*http.Response{
		"an error":       reply(http.StatusInternalServerError, string(a.passes.JWKS())),
		"a redirect":     {StatusCode: http.StatusFound, Header: http.Header{"Location": {"https://evil.example/keys"}}, Body: http.NoBody},
		"no JSON":        reply(http.StatusOK, "<html>"),
		"no keys":        reply(http.StatusOK, `{"keys":[]}`),
		"foreign kinds":  reply(http.StatusOK, `{"keys":[{"kty":"RSA","kid":"1"}]}`),
		"a short key":    reply(http.StatusOK, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AAAA"}]}`),
		"one twice":      reply(http.StatusOK, strings.Replace(string(a.passes.JWKS()), "[", "["+strings.Trim(string(a.passes.JWKS())[8:], "[]}")+"},", 1)),
		"too much of it": reply(http.StatusOK, strings.Repeat(" ", 1<<17)+string(a.passes.JWKS())),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuthority(t, 1)
				g := a.gatekeeper(t)
				verify(t, g, a.pass(t, nil), nil)
				a.answer = func() (*http.Response, error) { return bad, nil }
				time.Sleep(6 * time.Minute)
				verify(t, g, a.pass(t, nil), nil)
				synctest.Wait()
				verify(t, g, a.pass(t, nil), nil)
				if a.reads.Load() != 2 {
					t.Errorf("%d readings", a.reads.Load())
				}
				g.Close()
			})
		})
	}
}

// ask sends a request through Protect.
func ask(t *testing.T, g *gatekeeper.Gatekeeper, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	g.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := gatekeeper.Admitted(r.Context()); !ok {
			t.Error("let through without an admission")
		}
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(w, r)
	return w.Result()
}

func page(method, target string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return r
}

func TestProtect_SendsPeopleToWaitAndScriptsAway(t *testing.T) {
	a := newAuthority(t, 1)
	g := a.gatekeeper(t)
	for target, want := range map[string]string{
		"/sale/x?a=1&b=%2F":             "https://wait.example/rooms/7?return=%2Fsale%2Fx%3Fa%3D1%26b%3D%252F",
		"//evil.example/":               "https://wait.example/rooms/7",
		"/" + strings.Repeat("x", 2000): "https://wait.example/rooms/7",
	} {
		answer := ask(t, g, page(http.MethodGet, target))
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != want {
			t.Errorf("%.40s: %d to %s", target, answer.StatusCode, answer.Header.Get("Location"))
		}
		if answer.Header.Get("Cache-Control") != "no-store" {
			t.Error("a cache may keep the redirect")
		}
	}
	for name, r := range map[string]*http.Request{
		"a form":   page(http.MethodPost, "/sale/x"),
		"a script": httptest.NewRequest(http.MethodGet, "/sale/x", nil),
	} {
		answer := ask(t, g, r)
		var p struct{ Type, WaitingRoom string }
		if err := json.NewDecoder(answer.Body).Decode(&p); err != nil || answer.StatusCode != http.StatusForbidden ||
			p.Type != "/problems/admission-pass-required" || !strings.HasPrefix(p.WaitingRoom, "https://wait.example/rooms/7") {
			t.Errorf("%s: %d %+v %v", name, answer.StatusCode, p, err)
		}
	}
	a.answer = func() (*http.Response, error) { return nil, errors.New("away") }
	r := page(http.MethodGet, "/sale/x")
	r.Header.Set(gatekeeper.HeaderPass, a.pass(t, nil))
	if answer := ask(t, a.gatekeeper(t), r); answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("without keys: %d", answer.StatusCode)
	}
}

func TestProtect_LetsTheAdmittedThrough(t *testing.T) {
	a := newAuthority(t, 1)
	g := a.gatekeeper(t)
	secret := token.Text([]byte("0123456789abcdef"))
	owner := token.VisitorHash([token.VisitorSize]byte([]byte("0123456789abcdef")))
	pass := a.pass(t, func(p *waitingroom.Pass) { p.Visitor = owner })
	for name, c := range map[string]struct {
		header, value, visitor string
		want                   int
	}{
		"by cookie":                   {"Cookie", "a=b; fg_pass_7=" + pass, "", http.StatusTeapot},
		"by header":                   {gatekeeper.HeaderPass, pass, "", http.StatusTeapot},
		"as its owner":                {gatekeeper.HeaderPass, pass, secret, http.StatusTeapot},
		"not by another room's":       {"Cookie", "fg_pass_8=" + pass, "", http.StatusSeeOther},
		"not as somebody else":        {gatekeeper.HeaderPass, pass, token.Text([]byte("fedcba9876543210")), http.StatusSeeOther},
		"not as nobody in particular": {gatekeeper.HeaderPass, pass, "!", http.StatusSeeOther},
	} {
		r := page(http.MethodGet, "/sale/x")
		r.Header.Set(c.header, c.value)
		if c.visitor != "" {
			r.Header.Set(gatekeeper.HeaderVisitor, c.visitor)
		}
		if answer := ask(t, g, r); answer.StatusCode != c.want {
			t.Errorf("%s: %d", name, answer.StatusCode)
		}
	}
}

func TestProtect_ExchangesThePassInAnAddressForACookie(t *testing.T) {
	a := newAuthority(t, 1)
	g := a.gatekeeper(t)
	pass := a.pass(t, nil)
	answer := ask(t, g, page(http.MethodGet, "/sale/x?a=1&fg_pass="+pass+"&b=%20"))
	if to := answer.Header.Get("Location"); answer.StatusCode != http.StatusSeeOther || to != "/sale/x?a=1&b=%20" {
		t.Fatalf("%d to %q", answer.StatusCode, to)
	}
	if answer.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Error("the pass may travel on as a referrer")
	}
	c := answer.Cookies()
	if len(c) != 1 || !c[0].HttpOnly || !c[0].Secure || c[0].SameSite != http.SameSiteLaxMode || c[0].MaxAge < 590 || c[0].MaxAge > 600 {
		t.Fatalf("cookies %v", c)
	}
	r := page(http.MethodGet, "/sale/x?a=1&b=%20")
	r.AddCookie(c[0])
	if answer := ask(t, g, r); answer.StatusCode != http.StatusTeapot {
		t.Errorf("with the cookie: %d", answer.StatusCode)
	}
	for target, want := range map[string]string{"/sale/x?fg_pass=bad": "/sale/x", "//evil.example?fg_pass=" + pass: "/", "/s?xfg_pass=1": "https://wait.example/rooms/7?return=%2Fs%3Fxfg_pass%3D1"} {
		answer := ask(t, g, page(http.MethodGet, target))
		if to := answer.Header.Get("Location"); to != want || strings.Contains(target, "=bad") && len(answer.Cookies()) > 0 {
			t.Errorf("%.20s leads to %q, want %q, with %v", target, to, want, answer.Cookies())
		}
	}
}

func TestCheck_AnswersAProxy(t *testing.T) {
	a := newAuthority(t, 1)
	g := a.gatekeeper(t)
	check := func(method, uri, pass string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/check", nil)
		r.Header.Set("X-Original-Method", method)
		r.Header.Set("X-Original-URI", uri)
		r.Header.Set("Cookie", "fg_pass_7="+pass)
		w := httptest.NewRecorder()
		g.Check().ServeHTTP(w, r)
		return w.Result()
	}
	if answer := check("GET", "/sale/", a.pass(t, nil)); answer.StatusCode != http.StatusNoContent || answer.Header.Get("Fairgate-Place") != wire.Hex(wire.ID{1}) {
		t.Errorf("admitted: %d %v", answer.StatusCode, answer.Header)
	}
	if answer := check("GET", "/sale/?x=1", ""); answer.StatusCode != http.StatusUnauthorized ||
		answer.Header.Get("Fairgate-Location") != "https://wait.example/rooms/7?return=%2Fsale%2F%3Fx%3D1" {
		t.Errorf("not admitted: %d %v", answer.StatusCode, answer.Header)
	}
	if answer := check("GET", "/sale/?fg_pass="+a.pass(t, nil), ""); answer.StatusCode != http.StatusUnauthorized ||
		answer.Header.Get("Fairgate-Location") != "/sale/" || len(answer.Cookies()) != 1 {
		t.Errorf("with the pass in the address: %d %v", answer.StatusCode, answer.Header)
	}
	if answer := check("", "", ""); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("asked about nothing: %d", answer.StatusCode)
	}
}

func TestConfig_NamesWhatCannotWork(t *testing.T) {
	for key, c := range map[string]gatekeeper.Config{
		"room":         {WaitingRoom: "https://wait.example"},
		"waiting room": {Room: 1, WaitingRoom: "https://wait.example/path"},
		"keys":         {Room: 1}, // a path is no place to read keys from
		"skew":         {Room: 1, WaitingRoom: "https://wait.example", Skew: time.Hour},
		"stale":        {Room: 1, WaitingRoom: "https://wait.example", Stale: time.Second},
	} {
		if _, err := gatekeeper.New(c, gatekeeper.Deps{}); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// FuzzSafe_LeadsNowhereElse holds that a browser which is sent to a safe path stays on the site.
func FuzzSafe_LeadsNowhereElse(f *testing.F) {
	for _, s := range []string{"/", "/a?b=c", "//evil", "/\\evil", "/%2f/evil", "https://evil", "/\tevil", "/a#b", "", "/..//evil", "/@evil"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://site.example/")
	f.Fuzz(func(t *testing.T, uri string) {
		if !gatekeeper.Safe(uri) {
			return
		}
		to, err := base.Parse(uri)
		if err != nil || to.Host != base.Host || to.Scheme != base.Scheme || strings.ContainsAny(uri, "\r\n\\") {
			t.Fatalf("%q leads to %v (%v)", uri, to, err)
		}
	})
}
