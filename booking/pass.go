package booking

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/valyala/fasthttp"

	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// Where passes and visitor secrets are presented.
const (
	HeaderPass    = "Admission-Pass"
	cookiePass    = "fg_pass_" // then the room's id
	headerVisitor = "Queue-Visitor"
	cookieVisitor = "fg_visitor"
	maxPass       = 4096 // bytes
	passIssuer    = "fairgate"
)

// admission is what a valid pass lets its owner do.
type admission struct {
	pass    wire.ID
	expires int64 // instant, µs
}

type passClaims struct {
	jwt.RegisteredClaims
	wire.PassClaims
}

// admit checks the pass that a booking needs while its event has a waiting room; a 403 problem says where to get one.
func (a *API) admit(ctx *fasthttp.RequestCtx, e *store.Event) (admission, error) {
	if e.Room == 0 {
		return admission{}, nil
	}
	given := string(ctx.Request.Header.Peek(HeaderPass))
	if given == "" {
		given = web.Cookie(ctx, cookiePass+strconv.FormatInt(e.Room, 10))
	}
	if given == "" {
		return admission{}, a.passProblem(e, "admission-pass-required", "This event has a waiting room. Your turn comes through it.")
	}
	var claims passClaims
	id, err := a.verifyPass(given, e.Room, &claims)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return admission{}, a.passProblem(e, "admission-pass-expired", "The admission pass has expired. Your turn comes through the waiting room.")
	case err != nil:
		return admission{}, a.passProblem(e, "admission-pass-invalid", "This is not an admission pass for this event's waiting room.")
	}
	if !ownsPass(ctx, claims.Subject) {
		return admission{}, a.passProblem(e, "admission-pass-foreign", "This admission pass was given to another visitor.")
	}
	return admission{pass: id, expires: claims.ExpiresAt.UnixMicro()}, nil
}

func (a *API) verifyPass(given string, room int64, claims *passClaims) (id wire.ID, err error) {
	if len(given) > maxPass || a.deps.Passes == nil {
		return id, jwt.ErrTokenMalformed
	}
	_, err = jwt.ParseWithClaims(given, claims, a.deps.Passes,
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(passIssuer),
		jwt.WithAudience("room:"+strconv.FormatInt(room, 10)), jwt.WithExpirationRequired(), jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(func() time.Time { return a.now() }))
	if err != nil {
		return id, err
	}
	raw, err := hex.DecodeString(claims.ID)
	if err != nil || len(raw) != len(id) || claims.Room != room {
		return id, jwt.ErrTokenInvalidClaims
	}
	return wire.ID(raw), nil
}

// ownsPass compares the visitor whose secret is presented with the one the pass was given to. A client that presents no
// visitor is believed: then the pass itself is the secret, and the log binds it to the first user that buys with it.
func ownsPass(ctx *fasthttp.RequestCtx, subject string) bool {
	secret := string(ctx.Request.Header.Peek(headerVisitor))
	if secret == "" {
		secret = web.Cookie(ctx, cookieVisitor)
	}
	if secret == "" {
		return true
	}
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16]) == subject
}
