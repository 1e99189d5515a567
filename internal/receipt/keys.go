package receipt

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"fairgate/internal/wire"
)

// What is wrong with a signature.
var (
	// ErrNoKey: no key has the receipt's number, or none covers its instant.
	ErrNoKey = errors.New("no key for this receipt")
	// ErrSignature: the signature is not that key's over these facts.
	ErrSignature = errors.New("the signature is not true")
)

// MaxKeys bounds a ring, public or private.
const MaxKeys = 64

// Key signs the receipts of bookings made from an instant of log time on, until a newer key's.
type Key struct {
	ID   uint32
	From int64 // µs
	Seed [ed25519.SeedSize]byte
}

// String names the key without its seed.
func (k Key) String() string { return "receipt key " + keyName(k.ID) }

// GoString is String: %#v must not print the seed either.
func (k Key) GoString() string { return k.String() }

func keyName(id uint32) string { return strconv.FormatUint(uint64(id), 10) }

// Signer signs receipts. It is safe for any number of goroutines.
type Signer struct {
	keys    []Key // oldest first
	private map[uint32]ed25519.PrivateKey
	jwks    []byte
}

// NewSigner derives the signing keys and the JWKS document. Ids and instants must differ.
func NewSigner(keys []Key) (*Signer, error) {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return nil, fmt.Errorf("receipt keys: expected 1 to %d, got %d", MaxKeys, len(keys))
	}
	s := &Signer{keys: slices.Clone(keys), private: make(map[uint32]ed25519.PrivateKey, len(keys))}
	slices.SortFunc(s.keys, func(a, b Key) int { return cmp.Compare(a.From, b.From) })
	public := Keys{}
	for i, k := range s.keys {
		if k.ID == 0 || s.private[k.ID] != nil || i > 0 && s.keys[i-1].From == k.From {
			return nil, fmt.Errorf("receipt keys: %v: expected ids from 1 on and instants that all differ", k)
		}
		s.private[k.ID] = ed25519.NewKeyFromSeed(k.Seed[:])
		public[k.ID] = s.private[k.ID].Public().(ed25519.PublicKey)
	}
	var err error
	s.jwks, err = public.JWKS()
	return s, err
}

// Sign signs a receipt with the key of its instant; KeyID is set here. ErrNoKey if no key had begun, or wire.ErrValue.
func (s *Signer) Sign(r wire.Receipt) (Signed, error) {
	for _, k := range slices.Backward(s.keys) {
		if k.From > r.At {
			continue
		}
		r.KeyID = k.ID
		if err := r.Validate(); err != nil {
			return Signed{}, err
		}
		signature := ed25519.Sign(s.private[k.ID], wire.AppendReceipt(nil, &r))
		return Signed{r, [wire.ReceiptSignature]byte(signature)}, nil
	}
	return Signed{}, ErrNoKey
}

// JWKS is the document of the public keys (RFC 7517). Callers must not change it.
func (s *Signer) JWKS() []byte { return s.jwks }

// Keys are public keys by their numbers.
type Keys map[uint32]ed25519.PublicKey

type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	Use   string `json:"use,omitempty"`
	Alg   string `json:"alg,omitempty"`
	ID    string `json:"kid"`
	X     string `json:"x"`
}

type jwkSet struct {
	Keys []jwk `json:"keys"`
}

// JWKS writes the keys as a JWK set (RFC 7517, RFC 8037), by number.
func (k Keys) JWKS() ([]byte, error) {
	ids := make([]uint32, 0, len(k))
	for id := range k {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	set := jwkSet{Keys: []jwk{}}
	for _, id := range ids {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", "sig", "EdDSA", keyName(id), base64.RawURLEncoding.EncodeToString(k[id])})
	}
	return json.Marshal(set)
}

// ParseJWKS reads the Ed25519 keys of a JWK set whose ids are numbers; others in it are none of ours.
func ParseJWKS(b []byte) (Keys, error) {
	var set jwkSet
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("receipt keys: not a JWK set: %w", err)
	}
	keys := Keys{}
	for _, j := range set.Keys {
		id, err := strconv.ParseUint(j.ID, 10, 32)
		if j.Type != "OKP" || j.Curve != "Ed25519" || err != nil {
			continue
		}
		x, err := base64.RawURLEncoding.DecodeString(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("receipt keys: key %d is no Ed25519 key", id)
		}
		if len(keys) >= MaxKeys {
			return nil, fmt.Errorf("receipt keys: more than %d", MaxKeys)
		}
		keys[uint32(id)] = x
	}
	if len(keys) == 0 {
		return nil, errors.New("receipt keys: the JWK set holds no Ed25519 key with a number for its kid")
	}
	return keys, nil
}

// Check says whether a receipt is signed by one of the keys: ErrNoKey, ErrSignature, or nil.
func (k Keys) Check(s *Signed) error {
	key, ok := k[s.KeyID]
	if !ok {
		return fmt.Errorf("%w: it names key %d", ErrNoKey, s.KeyID)
	}
	if !ed25519.Verify(key, wire.AppendReceipt(nil, &s.Receipt), s.Signature[:]) {
		return ErrSignature
	}
	return nil
}
