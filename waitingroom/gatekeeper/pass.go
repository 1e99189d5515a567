package gatekeeper

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Admission is what a valid pass says.
type Admission struct {
	Pass    string // its id: 32 hex digits
	Visitor string // hash of the secret of whom it was given to: 32 hex digits
	Place   string // the place in line: 32 hex digits
	Lane    string // normal, shared, …
	Issued  time.Time
	Expires time.Time
}

type claims struct {
	jwt.RegisteredClaims
	Room  int64  `json:"room"`
	Place string `json:"place"`
	Lane  string `json:"lane"`
}

// Verify judges a pass: signed by a key of the waiting room, issued for this room, not expired. ErrNoPass, ErrRefused or
// ErrKeys.
func (g *Gatekeeper) Verify(ctx context.Context, pass string) (Admission, error) {
	return g.verify(ctx, pass, "")
}

// verify judges a pass and, where a visitor's secret came with it, whether it is theirs.
//
// The clocks of site and waiting room may differ. A pass from the near future is taken, but none is taken after its end by
// this site's clock: its slot is somebody else's then.
func (g *Gatekeeper) verify(ctx context.Context, pass, visitor string) (Admission, error) {
	switch {
	case pass == "":
		return Admission{}, ErrNoPass
	case len(pass) > maxPass:
		return Admission{}, ErrRefused
	}
	var c claims
	var missing error
	_, err := jwt.ParseWithClaims(pass, &c, func(t *jwt.Token) (any, error) {
		kid, _ := t.Header["kid"].(string)
		key, err := g.keys.find(ctx, kid)
		missing = err
		return key, err
	}, jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer("fairgate"),
		jwt.WithAudience("room:"+strconv.FormatInt(g.config.Room, 10)), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(g.now))
	if missing == ErrKeys {
		return Admission{}, ErrKeys
	}
	if err != nil || c.Room != g.config.Room || c.IssuedAt == nil || c.IssuedAt.After(g.now().Add(g.config.Skew)) ||
		!isID(c.ID) || !isID(c.Subject) || !isID(c.Place) || !owns(visitor, c.Subject) {
		return Admission{}, ErrRefused
	}
	return Admission{
		Pass: c.ID, Visitor: c.Subject, Place: c.Place, Lane: c.Lane, Issued: c.IssuedAt.Time, Expires: c.ExpiresAt.Time,
	}, nil
}

// isID reports whether a claim is an id of 128 bits in hex.
func isID(text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == 16
}

// owns compares the visitor whose secret is presented with the one the pass was given to. Who presents none is believed:
// then the pass itself is the secret.
func owns(secret, subject string) bool {
	if secret == "" {
		return true
	}
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	sum := sha256.Sum256(raw)
	return err == nil && subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:16])), []byte(subject)) == 1
}

// Safe reports whether a path with its query is one of this site's own and nothing else: a browser that is sent there
// stays on the site. Backslashes and whatever does not print are refused, for browsers read them in ways of their own.
func Safe(uri string) bool {
	if uri == "" || len(uri) > maxReturn || uri[0] != '/' || len(uri) > 1 && uri[1] == '/' {
		return false
	}
	for i := range len(uri) {
		if c := uri[i]; c <= ' ' || c >= 0x7f || c == '\\' || c == '#' {
			return false
		}
	}
	u, err := url.ParseRequestURI(uri)
	return err == nil && u.Host == "" && u.Scheme == ""
}

func escape(text string) string { return url.QueryEscape(text) }
