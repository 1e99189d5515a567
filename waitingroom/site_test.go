package waitingroom

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded/testnginx"
	"fairgate/internal/wire"
	"fairgate/waitingroom/gatekeeper"
)

const (
	protected    = 9               // the room before a site that is not ours
	sitePass     = 3 * time.Second // how long its passes are good
	edgeOrigin   = "http://edge.test"
	maxSiteVisit = 20 * time.Second
)

// site9 is a site that Fairgate does not own: its server, nginx in front of it by the configuration that we ship, and a
// gatekeeper beside it.
type site9 struct {
	*stage
	origin string // where browsers reach it
	log    string // nginx's access log
	asked  *httptest.Server
}

func openSite(t *testing.T) *site9 {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	s := &site9{origin: "http://" + addr}
	s.stage = open(t, func(c *Config, d *Deps) {
		c.Sites = []Site{{Room: protected, URL: s.origin + "/sale/"}}
		d.Rooms = append(d.Rooms.(list), Room{ID: protected, Name: "A site of somebody else"})
	})
	s.order(protected, &wire.DefineRoom{Cap: 1, PerMinute: 60_000, Pass: sitePass.Microseconds()})
	s.order(protected, &wire.SetRoom{State: wire.RoomOpen})
	s.until("the site's room", func() bool { d := s.edge.docs.newest(protected); return d != nil && d.doc.State == "open" })

	g, err := gatekeeper.New(gatekeeper.Config{Room: protected, WaitingRoom: edgeOrigin, Insecure: true},
		gatekeeper.Deps{Client: &http.Client{Transport: s.network()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	mux := http.NewServeMux()
	mux.Handle("/check", g.Check())
	s.asked = httptest.NewServer(mux)
	t.Cleanup(s.asked.Close)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.RequestURI+" for "+r.Header.Get("Fairgate-Place"))
	}))
	t.Cleanup(origin.Close)

	b, err := os.ReadFile("../deploy/gatekeeper.nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	s.log = filepath.Join(t.TempDir(), "site.log")
	conf := string(b)
	for from, to := range map[string]string{
		"server 127.0.0.1:9099;":       "server " + s.asked.Listener.Addr().String() + ";",
		"server 127.0.0.1:3000;":       "server " + origin.Listener.Addr().String() + ";",
		"listen 127.0.0.1:8088;":       "listen " + addr + ";",
		"/var/log/nginx/site.log gate": s.log + " gate",
	} {
		if strings.Count(conf, from) != 1 {
			t.Fatalf("the example does not have %q once", from)
		}
		conf = strings.ReplaceAll(conf, from, to)
	}
	testnginx.Start(t, addr, conf)
	return s
}

// network is one in which the edge has a name of its own.
func (s *site9) network() *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(edgeOrigin, "http://"+strings.TrimSuffix(addr, ":80")) {
			return s.ln.Dial()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

// browser visits edge and site, follows nothing by itself, and has no JavaScript.
func (s *site9) browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	network := s.network()
	s.t.Cleanup(network.CloseIdleConnections)
	return &http.Client{Jar: jar, Timeout: maxSiteVisit, Transport: network,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (s *site9) visit(c *http.Client, method, address, form string) (status int, to, body string) {
	s.t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := c.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Location"), string(b)
}

// sentToWait asks for a page and expects to be sent to the waiting room, where it takes a place.
func (s *site9) sentToWait(c *http.Client, page string) {
	s.t.Helper()
	status, to, _ := s.visit(c, "GET", s.origin+page, "")
	if want := edgeOrigin + "/rooms/9?return=" + url.QueryEscape(page); status != http.StatusSeeOther || to != want {
		s.t.Fatalf("%s: %d to %s, want %s", page, status, to, want)
	}
	if status, _, body := s.visit(c, "GET", to, ""); status != 200 {
		s.t.Fatalf("the waiting room: %d %s", status, body)
	}
	s.visit(c, "POST", edgeOrigin+"/rooms/9/arrive", "lane=timed")
	s.until("a place", func() bool {
		_, to, _ = s.visit(c, "POST", edgeOrigin+"/rooms/9/join", "")
		return to == "/rooms/9"
	})
}

// enters asks until it is sent on, and returns where.
func (s *site9) enters(c *http.Client) (to string) {
	s.t.Helper()
	s.until("its turn", func() bool {
		_, to, _ = s.visit(c, "POST", edgeOrigin+"/rooms/9/enter", "")
		return strings.HasPrefix(to, s.origin)
	})
	return to
}

// TestSite_OfSomebodyElseAdmitsByPassAndByNothingElse goes all the way from a protected page through the waiting room and
// back, twice, with room for one: a pass that a foreign site has seen frees its slot when it ends, and no sooner.
func TestSite_OfSomebodyElseAdmitsByPassAndByNothingElse(t *testing.T) {
	s := openSite(t)
	const page = "/sale/front%20row?seats=2&x=%2F"
	if status, _, body := s.visit(s.browser(), "GET", s.origin+"/about", ""); status != 200 || !strings.HasPrefix(body, "/about") {
		t.Fatalf("what is not protected: %d %s", status, body)
	}
	first, second := s.browser(), s.browser()
	s.sentToWait(first, page)
	asked := time.Now()
	to := s.enters(first)
	if want := s.origin + page + "&fg_pass="; !strings.HasPrefix(to, want) {
		t.Fatalf("sent to %s, want %s…", to, want)
	}
	status, clean, _ := s.visit(first, "GET", to, "")
	if status != http.StatusSeeOther || clean != page {
		t.Fatalf("with the pass: %d to %s, want %s", status, clean, page)
	}
	if status, _, body := s.visit(first, "GET", s.origin+clean, ""); status != 200 || !strings.HasPrefix(body, page+" for ") || strings.HasSuffix(body, " for ") {
		t.Fatalf("with the cookie: %d %s", status, body)
	}

	s.sentToWait(second, "/sale/")
	to = s.enters(second) // waits until the first one's pass has ended
	if since := time.Since(asked); since < sitePass {
		t.Fatalf("the second came in %v after the first asked: two were inside", since)
	}
	if _, clean, _ = s.visit(second, "GET", to, ""); clean != "/sale/" {
		t.Fatalf("the second was sent to %s", clean)
	}
	if status, _, _ := s.visit(second, "GET", s.origin+clean, ""); status != 200 {
		t.Errorf("the second: %d", status)
	}
	if status, to, _ := s.visit(first, "GET", s.origin+page, ""); status != http.StatusSeeOther || !strings.HasPrefix(to, edgeOrigin) {
		t.Errorf("the first, after the end of its pass: %d to %s", status, to)
	}
	s.asked.Close()
	if status, _, _ := s.visit(second, "GET", s.origin+"/sale/", ""); status != http.StatusServiceUnavailable {
		t.Errorf("with the gatekeeper away: %d", status)
	}
	if log, err := os.ReadFile(s.log); err != nil || strings.Contains(string(log), "fg_pass=ey") || !strings.Contains(string(log), "fg_pass=*") {
		t.Errorf("the access log (%v) keeps passes:\n%s", err, log)
	}
}

func TestSite_ReturnsOnlyToItself(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.Sites = []Site{{Room: small, URL: "https://site.example/sale/?a=1"}} })
	for to, want := range map[string]string{
		"/x?b=2":                "https://site.example/x?b=2&fg_pass=",
		"":                      "https://site.example/sale/?a=1&fg_pass=",
		"//evil.example/":       "https://site.example/sale/?a=1&fg_pass=",
		"https://evil.example/": "https://site.example/sale/?a=1&fg_pass=",
		`/\evil.example`:        "https://site.example/sale/?a=1&fg_pass=",
	} {
		f := s.fan()
		f.get("/rooms/6?return=" + url.QueryEscape(to))
		f.join("6")
		var in enterAnswer
		s.until("entry", func() bool {
			r := f.post("/rooms/6/enter", map[string]string{})
			if r.status == 200 {
				r.into(t, &in)
			}
			return r.status == 200
		})
		if in.Next != want+in.Pass {
			t.Errorf("%q: led to %s", to, in.Next)
		}
		f.header.Set("Accept", "text/html")
		if r := f.get("/rooms/6"); !strings.Contains(string(r.body), strings.ReplaceAll(want, "&", "&amp;")) {
			t.Errorf("%q: the page of the admitted does not lead there", to)
		}
	}
}

func TestSite_ConfigNamesWhatCannotWork(t *testing.T) {
	for key, c := range map[string][]Site{
		"room": {{URL: "https://site.example/"}},
		"url":  {{Room: 1, URL: "javascript:alert(1)"}},
		"one":  {{Room: 1, URL: "/a"}, {Room: 1, URL: "/b"}},
	} {
		if err := (Config{Sites: c}).Validate(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if err := (Config{Sites: []Site{{Room: 1, URL: "/sale"}, {Room: 2, URL: "https://site.example"}}}).Validate(); err != nil {
		t.Error(err)
	}
}
