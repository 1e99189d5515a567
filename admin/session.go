package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"fairgate/internal/store"
	"fairgate/internal/web"
)

const (
	tokenSize   = 32
	maxSessions = 20 // of one user

)

// actor is who does something: a user, or another program with the service key (ID 0), which may do what operators may.
type actor struct {
	ID        int64
	Organiser int64
	Email     string
	Role      string
}

// Operator says whether everything is theirs.
func (a actor) Operator() bool { return a.Role == store.RoleOperator }

// scope is the organiser whose things are listed, 0 for all.
func (a actor) scope() int64 {
	if a.Operator() {
		return 0
	}
	return a.Organiser
}

func (a actor) may(organiser int64) bool { return a.Operator() || a.Organiser == organiser }

var errNobody = web.Unauthorized("Log in, or send the service key as a bearer token.")

// who finds out who asks; errNobody if it is not known.
func (a *Admin) who(r *http.Request) (actor, error) {
	if key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && strings.HasPrefix(r.URL.Path, "/api/") {
		given, ours := sha256.Sum256([]byte(key)), sha256.Sum256([]byte(a.cfg.ServiceKey.Reveal()))
		if a.cfg.ServiceKey != "" && subtle.ConstantTimeCompare(given[:], ours[:]) == 1 {
			return actor{Organiser: 1, Role: store.RoleOperator}, nil
		}
		return actor{}, errNobody
	}
	token, ok := a.token(r)
	if !ok {
		return actor{}, errNobody
	}
	u, err := a.deps.Store.AdminSession(r.Context(), token, a.deps.Clock())
	if errors.Is(err, store.ErrNotFound) {
		return actor{}, errNobody
	}
	return actor{u.ID, u.Organiser, u.Email, u.Role}, err
}

// cookieName carries the prefix that lets a browser keep it to this host and HTTPS alone (RFC 6265bis).
func (a *Admin) cookieName() string {
	if a.cfg.Secure {
		return "__Host-fg_admin"
	}
	return "fg_admin"
}

// token is the hash of the session token that a request brings.
func (a *Admin) token(r *http.Request) (hash [32]byte, ok bool) {
	c, err := r.Cookie(a.cookieName())
	if err != nil {
		return hash, false
	}
	secret, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || len(secret) != tokenSize {
		return hash, false
	}
	return sha256.Sum256(secret), true
}

func (a *Admin) setCookie(w http.ResponseWriter, value string, age time.Duration) {
	seconds := int(age.Seconds())
	if value == "" {
		seconds = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookieName(), Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: a.cfg.Secure,
		SameSite: http.SameSiteStrictMode,
	})
}

func (a *Admin) loginPage(w http.ResponseWriter, r *http.Request) {
	if _, err := a.who(r); err == nil {
		http.Redirect(w, r, localPath(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	a.pages.show(w, r, http.StatusOK, "login", actor{}, loginView{Next: localPath(r.URL.Query().Get("next"))})
}

// loginView is what the login page shows.
type loginView struct{ Email, Next, Wrong string }

type loginBody struct {
	Email    string `json:"email"`
	Password string `json:"password"`
	Next     string `json:"next"`
}

// login begins a session. Whether an address is known shows neither in the answer nor in the time it takes.
func (a *Admin) login(w http.ResponseWriter, r *http.Request) {
	var b loginBody
	if err := decode(w, r, true, &b); err != nil {
		a.fail(w, r, err)
		return
	}
	result, err := a.tryLogin(w, r, &b)
	a.metrics.logins.WithLabelValues(result).Inc()
	if err == nil {
		http.Redirect(w, r, localPath(b.Next), http.StatusSeeOther)
		return
	}
	p, expected := problemOf(err)
	if !expected || !wantsPage(r) {
		a.fail(w, r, err)
		return
	}
	if p.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(p.RetryAfter.Seconds()+1)))
	}
	a.pages.show(w, r, p.Status, "login", actor{}, loginView{Email: b.Email, Next: localPath(b.Next), Wrong: p.Detail})
}

func (a *Admin) tryLogin(w http.ResponseWriter, r *http.Request, b *loginBody) (result string, err error) {
	email, bad := normalEmail(b.Email)
	if bad != nil || len(b.Password) > MaxPassword {
		email = "" // nobody's: compared all the same
		b.Password = b.Password[:min(len(b.Password), MaxPassword)]
	}
	if err := a.mayTry(r, email); err != nil {
		return "limited", err
	}
	u, err := a.deps.Store.AdminUserByEmail(r.Context(), email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "failed", err
	}
	same, err := a.hasher.check(r.Context(), u.PasswordHash, b.Password)
	if err != nil {
		return "failed", err
	}
	if !same {
		return "wrong", web.Unauthorized("This e-mail address and password do not fit together.")
	}
	if err := a.begin(w, r, u); err != nil {
		return "failed", err
	}
	return "ok", nil
}

// mayTry limits guesses: per address and per user in this process, and by the guard's opinion.
func (a *Admin) mayTry(r *http.Request, email string) error {
	address := a.clientAddress(r)
	if a.deps.Guard != nil {
		if ok, wait := a.deps.Guard.AllowLogin(r.Context(), address); !ok {
			return tooMany(wait)
		}
	}
	prefix := address
	if address.Is6() {
		if p, err := address.Prefix(64); err == nil {
			prefix = p.Addr()
		}
	}
	if wait := a.attempts.take(a.deps.Clock(), "address "+prefix.String(), "user "+email); wait > 0 {
		return tooMany(wait)
	}
	return nil
}

func tooMany(wait time.Duration) error {
	return web.TooMany(wait).Because("Too many logins were tried. Please wait a little.")
}

// clientAddress is the peer's, or what a trusted gateway says that it is.
func (a *Admin) clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.IPv6Unspecified()
	}
	address := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !slices.ContainsFunc(a.cfg.Trusted, func(p netip.Prefix) bool { return p.Contains(address) }) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		address = next.Unmap()
	}
	return address
}

// begin starts a session; one that was brought along ends, so that nobody can plant theirs.
func (a *Admin) begin(w http.ResponseWriter, r *http.Request, u store.AdminUser) error {
	if old, ok := a.token(r); ok {
		if err := a.deps.Store.EndAdminSession(r.Context(), old); err != nil {
			return err
		}
	}
	secret := make([]byte, tokenSize)
	if _, err := io.ReadFull(a.deps.Random, secret); err != nil {
		return fmt.Errorf("making a session: %w", err)
	}
	err := a.deps.Store.CreateAdminSession(r.Context(), sha256.Sum256(secret), u.ID, a.deps.Clock().Add(a.cfg.Session), maxSessions)
	if err != nil {
		return err
	}
	a.setCookie(w, base64.RawURLEncoding.EncodeToString(secret), a.cfg.Session)
	return nil
}

func (a *Admin) logout(w http.ResponseWriter, r *http.Request) {
	if token, ok := a.token(r); ok {
		if err := a.deps.Store.EndAdminSession(r.Context(), token); err != nil {
			a.fail(w, r, err)
			return
		}
	}
	a.setCookie(w, "", 0)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath is a path of ours to go to after something: never another site's.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") ||
		strings.HasPrefix(u.Path, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// users lets those in who logged in; others are sent to the login.
func (a *Admin) users(do func(http.ResponseWriter, *http.Request, actor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, err := a.who(r)
		if errors.Is(err, errNobody) && wantsPage(r) && r.Method == http.MethodGet {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		do(w, r, who)
	}
}

func (a *Admin) operatorsOnly(next http.Handler) http.Handler {
	return a.users(func(w http.ResponseWriter, r *http.Request, who actor) {
		if !who.Operator() {
			a.fail(w, r, web.Forbidden("The task queues are for operators."))
			return
		}
		next.ServeHTTP(w, r)
	})
}
