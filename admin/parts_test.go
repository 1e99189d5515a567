package admin

import (
	"crypto/rand"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func TestAttempts_BurstThenOneEachStep(t *testing.T) {
	l, now := newAttempts(100), time.Unix(1_000_000, 0)
	for i := range loginBurst {
		if wait := l.take(now, "a"); wait != 0 {
			t.Fatalf("attempt %d waits %v", i, wait)
		}
	}
	if wait := l.take(now, "b", "a"); wait != loginEvery {
		t.Errorf("one more waits %v", wait)
	}
	if wait := l.take(now, "b"); wait != 0 {
		t.Error("a refused attempt used up another key's")
	}
	if wait := l.take(now.Add(loginEvery), "a"); wait != 0 {
		t.Errorf("a step later it waits %v", wait)
	}
}

func TestAttempts_MemoryIsBounded(t *testing.T) {
	l, now := newAttempts(10), time.Unix(1_000_000, 0)
	for i := range 50 {
		l.take(now, fmt.Sprint(i))
	}
	if len(l.next) > 11 {
		t.Errorf("%d keys are remembered", len(l.next))
	}
	if l.take(now, "a stranger") == 0 {
		t.Error("strangers beyond the limit do not share one bucket")
	}
	if wait := l.take(now.Add(time.Hour), "somebody later"); wait != 0 || len(l.next) != 1 {
		t.Errorf("full buckets stay: %d keys, wait %v", len(l.next), wait)
	}
}

func TestClientAddress_BelievesTrustedGatewaysAlone(t *testing.T) {
	a := &Admin{cfg: Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, c := range []struct{ peer, header, want string }{
		{"203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"10.1.1.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.1.1.1:1", "1.1.1.1, 198.51.100.1, 10.2.2.2", "198.51.100.1"},
		{"10.1.1.1:1", "junk", "10.1.1.1"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.header)
		if got := a.clientAddress(r).String(); got != c.want {
			t.Errorf("%s behind %q is %s, want %s", c.peer, c.header, got, c.want)
		}
	}
}

func TestCookie_SecureIsBoundToTheHost(t *testing.T) {
	a, w := &Admin{cfg: Config{Secure: true}}, httptest.NewRecorder()
	a.setCookie(w, "x", time.Hour)
	if c := w.Result().Cookies()[0]; c.Name != "__Host-fg_admin" || !c.Secure || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v", c)
	}
}

func TestLocalPath_NeverLeadsAway(t *testing.T) {
	for given, want := range map[string]string{
		"/rooms/3?x=1": "/rooms/3?x=1", "": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"javascript:alert(1)": "/", "/a\nb": "/", "rooms": "/", "/%2f/evil.example": "/",
	} {
		if got := localPath(given); got != want {
			t.Errorf("%q leads to %q, want %q", given, got, want)
		}
	}
}

func TestPercent_ReadsWhatItWrites(t *testing.T) {
	for text, want := range map[string]uint32{"20": 200_000, "8.875": 88_750, "0": 0, "100": 1_000_000, "0.0001": 1} {
		got, err := parsePercent(text)
		if err != nil || got != want || percent(got) != text {
			t.Errorf("%s: %d, %v, %s", text, got, err, percent(got))
		}
	}
	for _, text := range []string{"100.0001", "-1", "1.", ".5", "1.00001", "1e1", "x", "1000"} {
		if _, err := parsePercent(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzPasswordHash(f *testing.F) {
	good, err := hashPassword(rand.Reader, "a password of ours")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{good, "", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=1,t=0,p=0$$", "$2a$10$x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, hash string) {
		same, err := samePassword(hash, "another password")
		if same {
			t.Errorf("%q fits (%v)", hash, err)
		}
	})
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte(`{"version":1,"room":3,"offset":7,"lanes":[{"lane":"normal","waiting":3,"rateLow":10,"rateHigh":20,"table":[["01",2]]}],"cap":0}`))
	f.Add([]byte(`{"version":1,"room":-3}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDocuments(1)
		if !d.take(b) {
			return
		}
		if d.take(b) {
			t.Error("the same document counts as newer")
		}
		for _, doc := range d.byRoom {
			viewQueue(&doc, doc.At, 0)
		}
	})
}
