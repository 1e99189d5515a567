// Package gatekeeper guards the paths of a site that Fairgate does not own: whoever asks for one without a valid
// admission pass is sent to the waiting room, and comes back with one. It verifies passes by itself, by the public keys
// (JWKS) that the waiting room publishes; that is all it asks of Fairgate. It imports nothing of Fairgate and may be used
// from any net/http server:
//
//	g, err := gatekeeper.New(gatekeeper.Config{Room: 7, WaitingRoom: "https://wait.example"}, gatekeeper.Deps{})
//	…
//	mux.Handle("/sale/", g.Protect(sale))
//
// Gatekeeper.Check answers a proxy that asks for each request (nginx: auth_request), for sites in other languages.
//
// A pass is good from the moment it is given until it expires, for any number of requests. Fairgate frees its slot then,
// and not before: no other site can say that a pass was used up.
package gatekeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Names on the wire, the same as everywhere in Fairgate.
const (
	// HeaderPass carries the pass of a client that keeps no cookies.
	HeaderPass = "Admission-Pass"
	// HeaderVisitor may carry the visitor's secret; then it must be the one that the pass was given to.
	HeaderVisitor = "Queue-Visitor"
	// ParamPass carries the pass once, in the address to which the waiting room sends an admitted visitor.
	ParamPass = "fg_pass"
	// ParamReturn tells the waiting room where on the site a visitor wanted to go.
	ParamReturn = "return"

	cookiePass = "fg_pass_" // then the room
)

// Limits and defaults.
const (
	maxPass        = 4096 // bytes
	maxReturn      = 1024 // bytes
	defaultRefresh = 5 * time.Minute
	defaultStale   = 24 * time.Hour
	defaultSkew    = 5 * time.Second
	maxSkew        = time.Minute
)

// What is wrong with a request. The errors are constant: a visitor never learns which check a pass failed.
var (
	// ErrNoPass: the request carries no admission pass.
	ErrNoPass = errors.New("gatekeeper: no admission pass")
	// ErrRefused: it carries one that is no good here, or not any more.
	ErrRefused = errors.New("gatekeeper: the admission pass is not valid here")
	// ErrKeys: passes cannot be judged, since the waiting room's keys were never read, or too long ago.
	ErrKeys = errors.New("gatekeeper: the waiting room's keys are not known")
)

// Config says whom to let in. Zero values of the last four stand for the defaults in brackets.
type Config struct {
	Room        int64         // the waiting room's number; passes of other rooms are refused
	WaitingRoom string        // where browsers reach Fairgate: scheme://host, or empty where this site serves /rooms/ itself
	Keys        string        // URL of the JWKS; [WaitingRoom + /.well-known/jwks.json]
	Refresh     time.Duration // the age at which keys are read again [5m]
	Stale       time.Duration // the age to which they are believed while they cannot be read [24h]
	Skew        time.Duration // how far ahead of this site's clock a pass may have been issued, at most 1m [5s]
	Insecure    bool          // this site is reached by plain HTTP, so its cookie must not be marked Secure
}

func (c Config) withDefaults() Config {
	for field, value := range map[*time.Duration]time.Duration{
		&c.Refresh: defaultRefresh, &c.Stale: defaultStale, &c.Skew: defaultSkew,
	} {
		if *field == 0 {
			*field = value
		}
	}
	if c.Keys == "" {
		c.Keys = c.WaitingRoom + "/.well-known/jwks.json"
	}
	return c
}

// Validate names the field that cannot work.
func (c Config) Validate() error {
	c = c.withDefaults()
	keys, err := url.Parse(c.Keys)
	room, roomErr := url.Parse(c.WaitingRoom)
	switch {
	case c.Room <= 0:
		return errors.New("room: expected the number of a waiting room")
	case roomErr != nil || c.WaitingRoom != "" && (!web(room) || strings.Trim(room.Path, "/") != "" || room.RawQuery != ""):
		return errors.New("waiting room: expected scheme://host, such as https://wait.example")
	case err != nil || !web(keys):
		return errors.New("keys: expected the URL of a JWKS, such as https://wait.example/.well-known/jwks.json")
	case c.Refresh < time.Second || c.Stale < c.Refresh:
		return fmt.Errorf("refresh, stale: expected at least 1s, and stale not below refresh, got %v and %v", c.Refresh, c.Stale)
	case c.Skew < 0 || c.Skew > maxSkew:
		return fmt.Errorf("skew: expected 0 to %v, got %v", maxSkew, c.Skew)
	}
	return nil
}

func web(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
}

// Deps is what a Gatekeeper uses; all may be nil.
type Deps struct {
	Client *http.Client     // reads the keys; its timeout and redirects are ours
	Now    func() time.Time // nil for time.Now
	Log    *slog.Logger     // nil for none
}

// Gatekeeper decides who may pass. It is safe for any number of goroutines.
type Gatekeeper struct {
	config Config
	now    func() time.Time
	keys   *keySet
	room   string // where visitors are sent
}

// New returns a gatekeeper. It reads the keys when it first needs them; Close ends it.
func New(c Config, d Deps) (*Gatekeeper, error) {
	c.WaitingRoom = strings.TrimSuffix(c.WaitingRoom, "/")
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("gatekeeper: %w", err)
	}
	c = c.withDefaults()
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Gatekeeper{
		config: c, now: d.Now, keys: newKeySet(c, d), room: c.WaitingRoom + "/rooms/" + strconv.FormatInt(c.Room, 10),
	}, nil
}

// Close ends the reading of keys and waits for it.
func (g *Gatekeeper) Close() { g.keys.close() }

// Ready reads the keys if there are none yet; ErrKeys if that fails.
func (g *Gatekeeper) Ready(ctx context.Context) error {
	if _, err := g.keys.find(ctx, ""); errors.Is(err, ErrKeys) {
		return err
	}
	return nil
}

type admissionKey struct{}

// Admitted is the admission under which a request was let through by Protect.
func Admitted(ctx context.Context) (Admission, bool) {
	a, ok := ctx.Value(admissionKey{}).(Admission)
	return a, ok
}

// Protect lets only admitted visitors through to next. The others are sent to the waiting room (303) if they are people
// looking for a page, and are answered 403 (problem+json, with the waiting room's address) otherwise; 503 while the keys
// are not known.
func (g *Gatekeeper) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := g.decide(r.Context(), visit{method: r.Method, uri: target(r), header: r.Header})
		switch {
		case d.err == nil && d.to == "":
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admissionKey{}, d.admission)))
		case d.to != "" && asksForPage(r):
			g.headers(w, d)
			w.Header().Set("Location", d.to)
			w.WriteHeader(http.StatusSeeOther)
		default:
			g.headers(w, d)
			writeProblem(w, d, http.StatusForbidden)
		}
	})
}

// target is the path and query that the client asked for, whatever routers have made of it since.
func target(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// asksForPage reports whether a person's browser wants a page, and not a script data or a form an answer.
func asksForPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// headers of every answer of ours: nobody keeps it, and the pass in an address does not travel on as a referrer.
func (g *Gatekeeper) headers(w http.ResponseWriter, d decision) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	if d.cookie != nil {
		http.SetCookie(w, d.cookie)
	}
}
