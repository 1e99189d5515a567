package waitingroom

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// PassIssuer is the claim iss of every admission pass.
const PassIssuer = "fairgate"

// PassAudience is the claim aud of the passes of a room.
func PassAudience(room int64) string { return "room:" + strconv.FormatInt(room, 10) }

// Pass is what the log says of an admission; times are instants in µs. PassOf fills it from an outcome.
type Pass struct {
	Room    int64
	Place   wire.ID // token id
	Visitor wire.ID
	ID      wire.ID
	Issued  int64
	Expires int64
	Lane    wire.Lane
}

// PassOf reads the outcome Claimed or PassReturned, the only two that admit. Both say the same of one admission, so every
// edge mints the same pass. ErrKind for any other outcome.
func PassOf(o wire.Outcome) (Pass, error) {
	p := Pass{Room: o.Object, Place: o.Ref}
	switch o.Kind {
	case wire.KindClaimed:
		var c wire.Claimed
		if err := o.DecodeInto(&c); err != nil {
			return Pass{}, err
		}
		p.Visitor, p.ID, p.Issued, p.Expires, p.Lane = c.Visitor, c.Pass, c.Issued, c.Expires, c.Lane
	case wire.KindPassReturned:
		var r wire.PassReturned
		if err := o.DecodeInto(&r); err != nil {
			return Pass{}, err
		}
		p.Visitor, p.ID, p.Issued, p.Expires, p.Lane = r.Visitor, r.Pass, r.Issued, r.Expires, r.Lane
	default:
		return Pass{}, fmt.Errorf("outcome kind %d admits nobody: %w", o.Kind, wire.ErrKind)
	}
	return p, nil
}

// PassAllClaims are the claims of an admission pass.
type PassAllClaims struct {
	jwt.RegisteredClaims
	wire.PassClaims
}

// Passes mints admission passes: JWTs signed with Ed25519 (RFC 8037). The key's secret is the Ed25519 seed, and which
// one signs follows from the instant of issue, so every edge mints the same bytes. It is safe for any number of
// goroutines.
type Passes struct {
	ring    *token.Ring
	private map[uint32]ed25519.PrivateKey
	jwks    []byte
}

// NewPasses derives the signing keys and the JWKS document of a ring.
func NewPasses(keys []token.Key) (*Passes, error) {
	ring, err := token.NewRing(keys)
	if err != nil {
		return nil, fmt.Errorf("pass keys: %w", err)
	}
	p := &Passes{ring: ring, private: make(map[uint32]ed25519.PrivateKey, len(keys))}
	type jwk struct {
		Type  string `json:"kty"`
		Curve string `json:"crv"`
		Use   string `json:"use"`
		Alg   string `json:"alg"`
		ID    string `json:"kid"`
		X     string `json:"x"`
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	for _, k := range ring.Keys() {
		private := ed25519.NewKeyFromSeed(k.Secret[:])
		p.private[k.ID] = private
		x := base64.RawURLEncoding.EncodeToString(private.Public().(ed25519.PublicKey))
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", "sig", "EdDSA", keyName(k.ID), x})
	}
	if p.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("pass keys: %w", err)
	}
	return p, nil
}

func keyName(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Mint signs a pass. Its expiry is rounded down to the second, so no pass outlives the slot it was given for. It fails
// with token.ErrKey if no key covers the instant of issue.
func (p *Passes) Mint(pass Pass) (string, error) {
	key, err := p.ring.At(pass.Issued)
	if err != nil {
		return "", fmt.Errorf("pass: %w", err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, PassAllClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    PassIssuer,
			Subject:   wire.Hex(pass.Visitor),
			Audience:  jwt.ClaimStrings{PassAudience(pass.Room)},
			ExpiresAt: jwt.NewNumericDate(time.UnixMicro(pass.Expires)),
			IssuedAt:  jwt.NewNumericDate(time.UnixMicro(pass.Issued)),
			ID:        wire.Hex(pass.ID),
		},
		PassClaims: wire.PassClaims{Room: pass.Room, Place: wire.Hex(pass.Place), Lane: pass.Lane.String()},
	})
	t.Header["kid"] = keyName(key.ID)
	s, err := t.SignedString(p.private[key.ID])
	if err != nil {
		return "", fmt.Errorf("pass: %w", err)
	}
	return s, nil
}

// JWKS is the document of the public keys (RFC 7517), retired ones included until they leave the configuration. Callers
// must not change it.
func (p *Passes) JWKS() []byte { return p.jwks }

var errPassKey = errors.New("pass: no such key")

// Keyfunc finds the public key of a pass by its kid, for jwt.Parse.
func (p *Passes) Keyfunc(t *jwt.Token) (any, error) {
	name, _ := t.Header["kid"].(string)
	id, err := strconv.ParseUint(name, 10, 32)
	if err != nil || keyName(uint32(id)) != name {
		return nil, errPassKey
	}
	private, ok := p.private[uint32(id)]
	if !ok {
		return nil, errPassKey
	}
	return private.Public(), nil
}

// Verify reads a pass of a room at an instant: signed by us, issued by us, for this room, not expired. The error
// wraps those of the package jwt.
func (p *Passes) Verify(pass string, room int64, now time.Time) (*PassAllClaims, error) {
	var claims PassAllClaims
	_, err := jwt.ParseWithClaims(pass, &claims, p.Keyfunc,
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(PassIssuer), jwt.WithAudience(PassAudience(room)), jwt.WithExpirationRequired(),
		jwt.WithStrictDecoding(), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil {
		return nil, fmt.Errorf("pass: %w", err)
	}
	if claims.Room != room {
		return nil, fmt.Errorf("pass: %w", jwt.ErrTokenInvalidAudience)
	}
	return &claims, nil
}
