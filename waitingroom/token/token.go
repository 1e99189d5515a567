package token

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"fairgate/internal/wire"
)

// Lengths of time in µs.
const (
	// ChallengeLife is how long a challenge may be answered, from the arrival instant.
	ChallengeLife = 120 * second
	// Allowance is how long after its instant a place can still reach the log: a challenge and its one renewal.
	Allowance = 2 * ChallengeLife
	// RecordedWithin is how long after the instant the log's acknowledgement alone makes a join recorded; later only the
	// Joined outcome does, since the machine may find it too late.
	RecordedWithin = 230 * second
	// Ahead is how far before an edge's clock another edge's may run.
	Ahead = 2 * second
	// Life is how long a queue token is good for, from the arrival instant.
	Life = 48 * 3600 * second
)

// VisitorSize is the length of a visitor's secret in bytes.
const VisitorSize = 16

// What can be wrong with a challenge or token, in the order in which it is checked; errors.Is finds them under the
// detail. Nothing about a token's content is said before its MAC was found right.
var (
	ErrForm    = errors.New("token: malformed")
	ErrKey     = errors.New("token: signed with a key that is not ours, not this instant's, or retired")
	ErrMAC     = errors.New("token: not signed by us")
	ErrFuture  = errors.New("token: its instant lies ahead")
	ErrExpired = errors.New("token: expired")
	ErrRoom    = errors.New("token: for another room")
	ErrVisitor = errors.New("token: belongs to another visitor")
	ErrRenewed = errors.New("token: renewed once already")
)

// Price is how much work a challenge asks for: the parameters of the puzzle.
type Price struct {
	Algorithm  uint8
	SubPuzzles uint8
	K          uint32
	Difficulty uint32
}

// Keys mints and verifies with a ring of keys. It is immutable, and safe for any number of goroutines.
type Keys struct{ ring *Ring }

// NewKeys returns the minter of a ring.
func NewKeys(keys []Key) (*Keys, error) {
	ring, err := NewRing(keys)
	if err != nil {
		return nil, err
	}
	return &Keys{ring}, nil
}

// VisitorHash is what tokens and the log know a visitor by: the first 128 bits of SHA-256 of the secret in the cookie.
func VisitorHash(secret [VisitorSize]byte) wire.ID {
	sum := sha256.Sum256(secret[:])
	return wire.ID(sum[:16])
}

// Wider is what prices count beside the place's own networks; see wire.Enlist.
type Wider struct{ Broad, Origin uint64 }

// MintChallenge signs a place as it arrives. The caller fills the place, Random from a source of random bits. The
// result is a function of its arguments: wire.ChallengeSize bytes. It fails with ErrKey if no key covers the instant.
func (k *Keys) MintChallenge(place wire.Place, price Price) ([]byte, error) {
	return k.MintCounted(place, price, Wider{})
}

// MintCounted is MintChallenge for a place that is counted by wider networks too.
func (k *Keys) MintCounted(place wire.Place, price Price, wider Wider) ([]byte, error) {
	ch := wire.Challenge{
		Place: place, Expires: place.Instant + ChallengeLife,
		Algorithm: price.Algorithm, Sub: price.SubPuzzles, K: price.K, Difficulty: price.Difficulty,
		Broad: wider.Broad, Origin: wider.Origin,
	}
	return k.signChallenge(&ch)
}

func (k *Keys) signChallenge(ch *wire.Challenge) ([]byte, error) {
	key, err := k.ring.At(ch.Instant)
	if err != nil {
		return nil, err
	}
	ch.KeyID = key.ID
	b := wire.AppendChallenge(make([]byte, 0, wire.ChallengeSize), ch)
	return append(b, sign(key, b)...), nil
}

// VerifyChallenge reads a challenge that must be ours, of this room and visitor, and neither early nor late. outage is
// how much of the time since its instant is an outage of the log (recorded, or running now): it does not count.
func (k *Keys) VerifyChallenge(b []byte, room int64, visitor wire.ID, now, outage int64) (wire.Challenge, error) {
	ch, err := k.ownChallenge(b, now)
	switch {
	case err != nil:
	case now-max(outage, 0) >= ch.Expires:
		err = ErrExpired
	default:
		err = bound(&ch.Place, room, visitor)
	}
	if err != nil {
		return wire.Challenge{}, err
	}
	return ch, nil
}

// Renew gives a visitor who needs longer a second challenge for the same place: same instant, same price, a new seed.
// It fails like VerifyChallenge, with ErrRenewed for one that is a renewal, and with ErrExpired once not even the
// renewed one could be answered.
func (k *Keys) Renew(b []byte, room int64, visitor wire.ID, now, outage int64) ([]byte, wire.Challenge, error) {
	ch, err := k.ownChallenge(b, now)
	switch {
	case err != nil:
	case now-max(outage, 0) >= ch.Instant+Allowance:
		err = ErrExpired
	default:
		err = bound(&ch.Place, room, visitor)
	}
	if err == nil && ch.Renewed {
		err = ErrRenewed
	}
	if err != nil {
		return nil, wire.Challenge{}, err
	}
	ch.Renewed, ch.Expires = true, ch.Instant+Allowance
	b, err = k.signChallenge(&ch)
	return b, ch, err
}

func (k *Keys) ownChallenge(b []byte, now int64) (wire.Challenge, error) {
	ch, signed, mac, err := wire.ParseChallenge(b)
	if err != nil {
		return wire.Challenge{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return ch, k.own(&ch.Place, ch.KeyID, signed, mac, now)
}

// TokenFor is the queue token of a place: wire.TokenSize bytes, the same whoever mints it, whenever, from the challenge
// or its renewal.
func (k *Keys) TokenFor(ch *wire.Challenge) ([]byte, error) { return k.TokenOf(ch, ch.TokenID()) }

// TokenOf is TokenFor for whoever knows the place's id already.
func (k *Keys) TokenOf(ch *wire.Challenge, id wire.ID) ([]byte, error) {
	key, err := k.ring.At(ch.Instant)
	if err != nil {
		return nil, err
	}
	t := wire.Token{KeyID: key.ID, Place: ch.Place, ID: id, Expires: ch.Instant + Life}
	b := wire.AppendToken(make([]byte, 0, wire.TokenSize), &t)
	return append(b, sign(key, b)...), nil
}

// VerifyToken reads a queue token that must be ours, of this room and visitor, and not expired.
func (k *Keys) VerifyToken(b []byte, room int64, visitor wire.ID, now int64) (wire.Token, error) {
	t, signed, mac, err := wire.ParseToken(b)
	if err != nil {
		return wire.Token{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	err = k.own(&t.Place, t.KeyID, signed, mac, now)
	switch {
	case err != nil:
	case now >= t.Expires:
		err = ErrExpired
	default:
		err = bound(&t.Place, room, visitor)
	}
	if err != nil {
		return wire.Token{}, err
	}
	return t, nil
}

// own checks that we signed a challenge or token, and that it is not ahead of time.
func (k *Keys) own(p *wire.Place, keyID uint32, signed, mac []byte, now int64) error {
	key, err := k.ring.Signed(keyID, p.Instant, now)
	switch {
	case err != nil:
		return err
	case subtle.ConstantTimeCompare(sign(key, signed), mac) != 1:
		return ErrMAC
	case p.Instant > now+Ahead:
		return ErrFuture
	}
	return nil
}

// bound checks that a place is of this room and visitor.
func bound(p *wire.Place, room int64, visitor wire.ID) error {
	switch {
	case p.Room != room:
		return ErrRoom
	case subtle.ConstantTimeCompare(p.Visitor[:], visitor[:]) != 1:
		return ErrVisitor
	}
	return nil
}

// maxSigned is the longest message that sign has room for beside a block of the hash.
const maxSigned = 320

// sign is HMAC-SHA-256 (RFC 2104) with a key. Messages are short, so each of its two hashes is made at once, of key and message
// side by side: crypto/hmac would make two objects for each, which costs as much as hashing. The layouts name their type in
// their second byte, so no challenge passes for a token.
func sign(key *Key, b []byte) []byte {
	mac := macOf(key, b)
	return mac[:] // on the caller's stack: this is inlined
}

func macOf(key *Key, b []byte) [sha256.Size]byte {
	if len(b) > maxSigned {
		h := hmac.New(sha256.New, key.Secret[:])
		h.Write(b)
		return [sha256.Size]byte(h.Sum(nil))
	}
	var inner [sha256.BlockSize + maxSigned]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(inner[:], key.Secret[:])
	copy(outer[:], key.Secret[:])
	for i := range sha256.BlockSize {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	n := copy(inner[sha256.BlockSize:], b)
	sum := sha256.Sum256(inner[:sha256.BlockSize+n])
	copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:])
}

// Join is the log record of an answered challenge: the token id, which is the record's Ref, and the body.
func Join(ch *wire.Challenge) (wire.ID, wire.Enlist) { return ch.TokenID(), Enlist(ch) }

// Enlist is the body of the log record of an answered challenge.
func Enlist(ch *wire.Challenge) wire.Enlist {
	return wire.Enlist{
		Join: wire.Join{
			Instant: ch.Instant, Edge: ch.Edge, Visitor: ch.Visitor, Lane: ch.Lane, Carrier: ch.Carrier,
			Narrow: ch.Narrow, Wide: ch.Wide, Algorithm: ch.Algorithm, Difficulty: ch.Difficulty,
		},
		Broad: ch.Broad, Origin: ch.Origin,
	}
}

// Text is the form of challenges, tokens and visitor secrets in answers, cookies and headers: base64url (RFC 4648, no
// padding).
func Text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// FromText reads size bytes from the form that Text writes and accepts no other spelling of them; else ErrForm.
func FromText(s string, size int) ([]byte, error) {
	if len(s) != base64.RawURLEncoding.EncodedLen(size) {
		return nil, ErrForm
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != size { // the decoder skips line breaks
		return nil, ErrForm
	}
	return b, nil
}
