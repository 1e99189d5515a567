package gatekeeper

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// visit is what of a request decides about it.
type visit struct {
	method string
	uri    string // path and query, as the client sent them
	header http.Header
}

// decision is what becomes of a visit: let through if err is nil and to is empty.
type decision struct {
	admission Admission
	to        string       // where a browser goes instead
	cookie    *http.Cookie // to be set, nil for none
	err       error
}

// decide judges a visit.
func (g *Gatekeeper) decide(ctx context.Context, v visit) decision {
	if clean, pass, found := takePass(v.uri); found && (v.method == http.MethodGet || v.method == http.MethodHead) {
		return g.exchange(ctx, v, clean, pass)
	}
	pass := v.header.Get(HeaderPass)
	if pass == "" {
		pass = cookie(v.header, g.cookieName())
	}
	a, err := g.verify(ctx, pass, v.header.Get(HeaderVisitor))
	switch {
	case err == nil:
		return decision{admission: a}
	case errors.Is(err, ErrKeys):
		return decision{err: err}
	}
	return decision{err: err, to: g.waitingRoom(v)}
}

// exchange takes the pass out of the address, keeps it in a cookie if it is good, and sends the browser on to the clean
// address: there the cookie decides, so that a bad pass in a link takes nothing from who has a good one.
func (g *Gatekeeper) exchange(ctx context.Context, v visit, clean, pass string) decision {
	a, err := g.verify(ctx, pass, v.header.Get(HeaderVisitor))
	if errors.Is(err, ErrKeys) {
		return decision{err: err}
	}
	if err != nil {
		return decision{err: err, to: clean}
	}
	left := a.Expires.Sub(g.now())
	return decision{admission: a, to: clean, cookie: &http.Cookie{
		Name: g.cookieName(), Value: pass, Path: "/", MaxAge: max(int(left/time.Second), 1), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: !g.config.Insecure,
	}}
}

func (g *Gatekeeper) cookieName() string { return cookiePass + strconv.FormatInt(g.config.Room, 10) }

// cookie is a cookie's value, empty for none.
func cookie(h http.Header, name string) string {
	c, err := (&http.Request{Header: h}).Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// waitingRoom is the waiting room's address, with the way back to a page that can be asked for again.
func (g *Gatekeeper) waitingRoom(v visit) string {
	if v.method != http.MethodGet && v.method != http.MethodHead || !Safe(v.uri) {
		return g.room
	}
	return g.room + "?" + ParamReturn + "=" + escape(v.uri)
}

// Check answers a proxy that asks about each request, as nginx does by auth_request: 204 for let through, 401 else, with
// Fairgate-Location, where the proxy shall send the browser, and perhaps Set-Cookie, which it shall pass on; 503 while the
// keys are not known. The request asked about is named by X-Original-Method and X-Original-URI, and its other headers are
// the request's own. Only the proxy may be able to call it.
func (g *Gatekeeper) Check() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visit{method: r.Header.Get("X-Original-Method"), uri: r.Header.Get("X-Original-URI"), header: r.Header}
		if v.method == "" || v.uri == "" {
			http.Error(w, "X-Original-Method and X-Original-URI: expected the request asked about", http.StatusBadRequest)
			return
		}
		d := g.decide(r.Context(), v)
		g.headers(w, d)
		if d.err == nil && d.to == "" {
			w.Header().Set("Fairgate-Place", d.admission.Place)
			w.Header().Set("Fairgate-Lane", d.admission.Lane)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if d.to != "" {
			w.Header().Set("Fairgate-Location", d.to)
		}
		writeProblem(w, d, http.StatusUnauthorized)
	})
}

// writeProblem writes the refusal as problem+json (RFC 9457).
func writeProblem(w http.ResponseWriter, d decision, status int) {
	problem := struct {
		Type        string `json:"type"`
		Title       string `json:"title"`
		Status      int    `json:"status"`
		Detail      string `json:"detail"`
		WaitingRoom string `json:"waitingRoom,omitempty"`
	}{"/problems/admission-pass-required", "Please wait your turn", status, "This page has a waiting room. Your turn comes through it.", d.to}
	if d.err != nil && d.to == "" {
		status = http.StatusServiceUnavailable
		problem.Type, problem.Title, problem.Status = "/problems/try-again", "Please try again shortly", status
		problem.Detail = "Admission cannot be checked just now."
		w.Header().Set("Retry-After", "2")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem) // a client that has gone away hears nothing
}

// takePass takes the pass out of an address and leaves every other byte of it. found says that there was a parameter of
// that name.
func takePass(uri string) (clean, pass string, found bool) {
	path, query, hasQuery := strings.Cut(uri, "?")
	if !hasQuery || !strings.Contains(query, ParamPass+"=") {
		return uri, "", false
	}
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		if value, ok := strings.CutPrefix(part, ParamPass+"="); ok {
			pass, found = value, true
			continue
		}
		kept = append(kept, part)
	}
	if !found {
		return uri, "", false
	}
	if !Safe(path) {
		return "/", pass, true
	}
	if clean = path + "?" + strings.Join(kept, "&"); len(kept) == 0 || !Safe(clean) {
		clean = path
	}
	return clean, pass, true
}
