package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Sizes of the signed layouts, in bytes, MAC included.
const (
	ChallengeSize = 2 + 140 + MACSize
	TokenSize     = 2 + 102 + MACSize
	MACSize       = sha256.Size
)

// Place is what a challenge and the token made from it say alike about a place in line. All of it is signed.
type Place struct {
	Room    int64
	Lane    Lane
	Instant int64 // arrival, room time, µs
	Edge    uint32
	Visitor ID     // first 128 bits of SHA-256 of the visitor's secret
	Narrow  uint64 // what it is counted by: see Join
	Wide    uint64
	Carrier bool // the address is in a listed carrier range
	Random  ID
}

func (p *Place) fields(c *coder) {
	c.i64(&p.Room)
	c.u8((*uint8)(&p.Lane))
	c.i64(&p.Instant)
	c.u32(&p.Edge)
	c.id(&p.Visitor)
	c.u64(&p.Narrow)
	c.u64(&p.Wide)
	c.flag(&p.Carrier)
	c.id(&p.Random)
}

// TokenID is the place's id: the first 128 bits of SHA-256 of its layout. It does not depend on price, expiry, key or
// renewal, so the renewed challenge of a slow phone is the same place.
func (p *Place) TokenID() ID {
	var room [len(placeName) + placeSize]byte
	sum := sha256.Sum256(p.append(append(room[:0], placeName...)))
	return ID(sum[:16])
}

// placeName begins what a place's id is the hash of.
const placeName = "fairgate place v1"

// Challenge is what a visitor gets on arrival: the place, the price, and when it must be back. Layout: version u8, type
// u8 = 'C', KeyID u32, Place, Expires i64, Renewed u8, Algorithm u8, Sub u8, K u32, Difficulty u32, Broad u64, Origin
// u64, reserved 29 bytes of zero, then the MAC over everything before it.
type Challenge struct {
	KeyID uint32
	Place
	Expires    int64 // room time, µs
	Renewed    bool
	Algorithm  uint8 // of the puzzle
	Sub        uint8 // sub-puzzles
	K          uint32
	Difficulty uint32
	Broad      uint64 // see Enlist
	Origin     uint64
}

func (ch *Challenge) fields(c *coder) {
	c.u32(&ch.KeyID)
	ch.Place.fields(c)
	c.i64(&ch.Expires)
	c.flag(&ch.Renewed)
	c.u8(&ch.Algorithm)
	c.u8(&ch.Sub)
	c.u32(&ch.K)
	c.u32(&ch.Difficulty)
	c.u64(&ch.Broad)
	c.u64(&ch.Origin)
	reserved(c, 140-4-70-8-1-1-1-4-4-8-8)
}

// Seed is the puzzle's seed: SHA-256 of the challenge's signed bytes, so that a solution fits one challenge only.
func (ch *Challenge) Seed() Hash {
	return sha256.Sum256(AppendChallenge(make([]byte, 0, ChallengeSize), ch))
}

// Token is a place in line as its owner carries it. Layout: version u8, type u8 = 'T', KeyID u32, Place, ID [16],
// Expires i64, reserved 4, then the MAC.
type Token struct {
	KeyID uint32
	Place
	ID      ID
	Expires int64 // room time, µs
}

func (t *Token) fields(c *coder) {
	c.u32(&t.KeyID)
	t.Place.fields(c)
	c.id(&t.ID)
	c.i64(&t.Expires)
	reserved(c, 102-4-70-16-8)
}

func reserved(c *coder, n int) {
	var zero [64]byte
	if !c.decode {
		c.buf = append(c.buf, zero[:n]...)
		return
	}
	for _, b := range c.take(n) {
		if b != 0 {
			c.fail(ErrValue)
		}
	}
}

// AppendChallenge appends the bytes that the MAC covers.
func AppendChallenge(dst []byte, ch *Challenge) []byte {
	c := coder{buf: append(dst, Version, 'C')}
	ch.fields(&c)
	return c.buf
}

// ParseChallenge splits a challenge into its facts, the bytes that the MAC covers, and the MAC. It checks form only.
func ParseChallenge(b []byte) (ch Challenge, signed, mac []byte, err error) {
	signed, mac, err = splitSigned(b, ChallengeSize, MACSize, 'C')
	if err == nil {
		c := coder{buf: signed[2:], decode: true}
		ch.fields(&c)
		err = c.end()
	}
	return ch, signed, mac, err
}

// AppendToken appends the bytes that the MAC covers.
func AppendToken(dst []byte, t *Token) []byte {
	c := coder{buf: append(dst, Version, 'T')}
	t.fields(&c)
	return c.buf
}

// ParseToken splits a token into its facts, the bytes that the MAC covers, and the MAC. It checks form only.
func ParseToken(b []byte) (t Token, signed, mac []byte, err error) {
	signed, mac, err = splitSigned(b, TokenSize, MACSize, 'T')
	if err == nil {
		c := coder{buf: signed[2:], decode: true}
		t.fields(&c)
		err = c.end()
	}
	return t, signed, mac, err
}

func splitSigned(b []byte, size, macSize int, kind byte) (signed, mac []byte, err error) {
	switch {
	case len(b) < size:
		return nil, nil, fmt.Errorf("signed layout: %w", ErrShort)
	case len(b) > size:
		return nil, nil, fmt.Errorf("signed layout: %w", ErrLong)
	case b[0] != Version:
		return nil, nil, fmt.Errorf("signed layout: %w", ErrVersion)
	case b[1] != kind:
		return nil, nil, fmt.Errorf("signed layout: %w", ErrKind)
	}
	return b[:size-macSize], b[size-macSize:], nil
}

// DrawKey is the HMAC key of a draw, SHA-256(seed ‖ public). A drawn place has the key HMAC-SHA-256(DrawKey, token id),
// its first 64 bits read big-endian.
func DrawKey(seed Hash, public []byte) Hash {
	return sha256.Sum256(append(seed[:], public...))
}

// NextChain is the SHA-256 chain over a log after one more record: SHA-256(head ‖ offset u64 big-endian ‖
// SHA-256(record)). It begins at 32 zero bytes before offset 0.
func NextChain(head Hash, offset int64, record []byte) Hash {
	var b [72]byte
	copy(b[:32], head[:])
	binary.BigEndian.PutUint64(b[32:40], uint64(offset))
	sum := sha256.Sum256(record)
	copy(b[40:], sum[:])
	return sha256.Sum256(b[:])
}

// PassID is the id of the pass that the n-th admission (from 1) of a place gets.
func PassID(room int64, token ID, n uint8) ID {
	b := make([]byte, 0, 48)
	b = append(b, "fairgate pass v1"...)
	b = binary.BigEndian.AppendUint64(b, uint64(room))
	b = append(b, token[:]...)
	b = append(b, n)
	sum := sha256.Sum256(b)
	return ID(sum[:16])
}
