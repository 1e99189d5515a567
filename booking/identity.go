package booking

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"fairgate/internal/conf"
	"fairgate/internal/sale"
	"fairgate/internal/web"
)

// Headers and cookies that say who is asking.
const (
	HeaderServiceKey = "Service-Key"
	CookieGuest      = "fg_guest"
)

// caller is who is asking: a subject, or somebody who may act for anybody.
type caller struct {
	subject string
	anybody bool // a service, or with auth none a client without a guest cookie
}

// may says whether the caller may act for a user.
func (c caller) may(user string) bool {
	return c.anybody || c.subject != "" && subtle.ConstantTimeCompare([]byte(c.subject), []byte(user)) == 1
}

// who finds out who is asking; a 401 problem if they must say and do not, or are not believed.
func (a *API) who(ctx *fasthttp.RequestCtx) (caller, error) {
	if given := ctx.Request.Header.Peek(HeaderServiceKey); len(given) > 0 {
		if a.isService(given) {
			return caller{anybody: true}, nil
		}
		return caller{}, unauthorized("The service key is not the right one.")
	}
	if a.users != nil {
		return a.users.who(ctx)
	}
	cookie := web.Cookie(ctx, CookieGuest)
	if cookie == "" {
		return caller{anybody: true}, nil
	}
	subject, ok := a.guests.read(cookie)
	if !ok {
		return caller{}, unauthorized("The guest cookie was not made here. Delete it and try again.")
	}
	return caller{subject: subject}, nil
}

// isService compares hashes, so that the time taken tells nothing about the key, its length included.
func (a *API) isService(given []byte) bool {
	key := a.cfg.ServiceKey.Reveal()
	if key == "" {
		return false
	}
	want, got := sha256.Sum256([]byte(key)), sha256.Sum256(given)
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// acting returns the user that a request is for: the one it names if the caller may act for them, else the caller.
func (a *API) acting(ctx *fasthttp.RequestCtx, named string) (string, error) {
	c, err := a.who(ctx)
	if err != nil {
		return "", err
	}
	if named == "" {
		named = c.subject
	}
	if sale.CheckSubject(named) != nil {
		return "", web.Unprocessable("userId", fmt.Sprintf("1 to %d characters without spaces", sale.MaxSubject))
	}
	if !c.may(named) {
		return "", web.Forbidden("This is another user's.")
	}
	return named, nil
}

func unauthorized(detail string) error { return web.Unauthorized(detail) }

// visitor returns the guest of a page, and gives a new one a cookie. With bearer tokens pages belong to nobody.
func (a *API) visitor(ctx *fasthttp.RequestCtx) (caller, error) {
	if a.users != nil {
		c, err := a.users.who(ctx)
		if err != nil {
			return caller{}, nil
		}
		return c, nil
	}
	if subject, ok := a.guests.read(web.Cookie(ctx, CookieGuest)); ok {
		return caller{subject: subject}, nil
	}
	value, subject, err := a.guests.mint()
	if err != nil {
		return caller{}, err
	}
	web.SetCookie(ctx, CookieGuest, value, web.CookieOptions{MaxAge: guestLife, Secure: a.secure()})
	return caller{subject: subject}, nil
}

func (a *API) secure() bool { return strings.HasPrefix(a.cfg.PublicURL, "https://") }

// guestLife is how long a guest cookie is kept.
const guestLife = 180 * 24 * time.Hour

// guests signs the cookies that stand for users in a demo: "guest-…" and an HMAC of it.
type guests struct {
	key    []byte
	random io.Reader
}

func newGuests(key conf.Secret, random io.Reader) *guests {
	// The domain separates this use of the secret from any other.
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte("fairgate guest cookie v1"))
	return &guests{key: mac.Sum(nil), random: random}
}

func (g *guests) mint() (cookie, subject string, err error) {
	var b [12]byte
	if _, err := io.ReadFull(g.random, b[:]); err != nil {
		return "", "", fmt.Errorf("minting a guest: %w", err)
	}
	subject = "guest-" + base64.RawURLEncoding.EncodeToString(b[:])
	return subject + "." + g.sign(subject), subject, nil
}

func (g *guests) read(cookie string) (subject string, ok bool) {
	subject, mac, found := strings.Cut(cookie, ".")
	if !found || len(cookie) > 2*sale.MaxSubject || sale.CheckSubject(subject) != nil {
		return "", false
	}
	return subject, hmac.Equal([]byte(mac), []byte(g.sign(subject)))
}

func (g *guests) sign(subject string) string {
	mac := hmac.New(sha256.New, g.key)
	mac.Write([]byte(subject))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Limits of fetching keys.
const (
	jwksTimeout = 5 * time.Second
	jwksEvery   = 5 * time.Minute
	jwksAgain   = 10 * time.Second // least time between two fetches because of an unknown key
	maxJWKS     = 1 << 20
)

// bearer checks bearer tokens against the newest JWKS document.
type bearer struct {
	cfg    Config
	client *http.Client
	now    func() time.Time
	keys   atomic.Pointer[keyfunc.Keyfunc]
	mu     sync.Mutex // of fetched
	last   time.Time
}

func newBearer(cfg Config, client *http.Client, now func() time.Time) *bearer {
	return &bearer{cfg: cfg, client: client, now: now}
}

func (b *bearer) ready() bool { return b.keys.Load() != nil }

// run fetches the keys at once and every few minutes. A failure keeps the old ones.
func (b *bearer) run(ctx context.Context, log *slog.Logger) {
	for wait := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = jwksEvery
		if err := b.fetch(ctx); err != nil {
			log.Warn("fetching the keys of bearer tokens failed", "error", err)
			wait = jwksAgain
		}
	}
}

func (b *bearer) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.cfg.JWKSURL, nil)
	if err != nil {
		return err
	}
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the JWKS address answered %d", res.StatusCode)
	}
	keys, err := keyfunc.NewJWKSetJSON(raw)
	if err != nil {
		return fmt.Errorf("reading the JWKS document: %w", err)
	}
	b.keys.Store(&keys)
	return nil
}

// refetch fetches after an unknown key id, which is how a rotation looks, unless it did so a moment ago.
func (b *bearer) refetch(ctx context.Context) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.last) < jwksAgain {
		return false
	}
	b.last = time.Now()
	return b.fetch(ctx) == nil
}

// methods are the signatures accepted: none that a public key could forge.
func methods() []string {
	return []string{"EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
}

func (b *bearer) who(ctx *fasthttp.RequestCtx) (caller, error) {
	scheme, token, _ := strings.Cut(string(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}, unauthorized("A bearer token is needed.")
	}
	subject, err := b.subject(token)
	if errors.Is(err, jwt.ErrTokenUnverifiable) {
		request, cancel := web.RequestContext(ctx)
		defer cancel()
		if b.refetch(request) {
			subject, err = b.subject(token)
		}
	}
	switch {
	case errors.Is(err, errNoKeys):
		return caller{}, web.Unavailable(jwksAgain)
	case err != nil:
		return caller{}, unauthorized("The bearer token is not valid, or no longer.")
	}
	return caller{subject: subject}, nil
}

var errNoKeys = errors.New("booking: no keys of bearer tokens yet")

func (b *bearer) subject(token string) (string, error) {
	keys := b.keys.Load()
	if keys == nil {
		return "", errNoKeys
	}
	options := []jwt.ParserOption{jwt.WithValidMethods(methods()), jwt.WithExpirationRequired(), jwt.WithTimeFunc(b.now)}
	if b.cfg.Issuer != "" {
		options = append(options, jwt.WithIssuer(b.cfg.Issuer))
	}
	if b.cfg.Audience != "" {
		options = append(options, jwt.WithAudience(b.cfg.Audience))
	}
	var claims jwt.RegisteredClaims
	if _, err := jwt.ParseWithClaims(token, &claims, (*keys).Keyfunc, options...); err != nil {
		return "", err
	}
	if err := sale.CheckSubject(claims.Subject); err != nil {
		return "", err
	}
	return claims.Subject, nil
}
