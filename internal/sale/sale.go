// Package sale holds the nouns and rules of a ticket sale that every room shares: money, ids, lanes, states. It imports
// only the standard library and touches nothing: no clock, no randomness, no I/O.
package sale

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Limits on what a request or a record may carry. They bound memory in the machines and are part of the contract.
const (
	// MaxLines is how many lines (ticket type and quantity) one booking may have.
	MaxLines = 8
	// MaxQuantity is how many tickets one line may ask for.
	MaxQuantity = 100
	// MaxPrice is the highest price or fee of one ticket, in minor units. With MaxQuantity and a tax rate in
	// millionths, every product of the price rule fits an int64.
	MaxPrice = 10_000_000_000
	// MaxTaxRate is the highest tax rate, in millionths (100 %).
	MaxTaxRate = 1_000_000
	// MaxCapacity is the most tickets one type may have.
	MaxCapacity = 10_000_000
	// MaxSubject is the longest user id, in bytes.
	MaxSubject = 128
)

// UUID is a booking, payment, attempt, refund or ticket id: 16 bytes, a UUIDv7 (RFC 9562) minted where a request enters.
type UUID [16]byte

// IsZero reports whether the id is absent.
func (u UUID) IsZero() bool { return u == UUID{} }

// String writes the canonical form, 36 characters, lower case.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	b[8] = '-'
	hex.Encode(b[9:13], u[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], u[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], u[8:10])
	b[23] = '-'
	hex.Encode(b[24:36], u[10:16])
	return string(b[:])
}

// MarshalText writes the canonical form.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the canonical form and nothing else.
func (u *UUID) UnmarshalText(b []byte) error {
	v, err := ParseUUID(string(b))
	if err != nil {
		return err
	}
	*u = v
	return nil
}

// ErrUUID says that a string is not a UUID in canonical form.
var ErrUUID = errors.New("expected a UUID of 36 characters")

// ParseUUID reads the canonical form (36 characters, either case).
func ParseUUID(s string) (UUID, error) {
	var u UUID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return UUID{}, ErrUUID
	}
	packed := make([]byte, 0, 32)
	packed = append(packed, s[0:8]...)
	packed = append(packed, s[9:13]...)
	packed = append(packed, s[14:18]...)
	packed = append(packed, s[19:23]...)
	packed = append(packed, s[24:36]...)
	if _, err := hex.Decode(u[:], packed); err != nil {
		return UUID{}, ErrUUID
	}
	return u, nil
}

// TicketID is the id of a booking's ticket number index (from 0), given the base id that the hold carried. The base is
// a UUIDv7 whose last 8 bits are zero, so that all tickets of a booking are UUIDv7 too and sort together.
func TicketID(base UUID, index int) UUID {
	t := base
	n := uint32(t[13])<<16 | uint32(t[14])<<8 | uint32(t[15])
	n += uint32(index)
	t[13], t[14], t[15] = byte(n>>16), byte(n>>8), byte(n)
	return t
}

// UserKey is what the log and the machines know a user by: the first 128 bits of SHA-256 of the subject.
func UserKey(subject string) [16]byte {
	sum := sha256.Sum256([]byte(subject))
	return [16]byte(sum[:16])
}

// CheckSubject says whether a user id may be used: 1 to MaxSubject bytes of printable UTF-8 without spaces or controls.
func CheckSubject[T string | []byte](subject T) error {
	if len(subject) > 0 && len(subject) <= MaxSubject && plain(subject) {
		return nil
	}
	s := string(subject)
	if s == "" || len(s) > MaxSubject || !utf8.ValidString(s) {
		return fmt.Errorf("expected 1 to %d bytes of UTF-8", MaxSubject)
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r == utf8.RuneError {
			return errors.New("expected printable characters without spaces")
		}
	}
	return nil
}

// plain says that a text is of ASCII's visible characters alone, as nearly every subject is.
func plain[T string | []byte](s T) bool {
	odd := byte(0)
	for i := range len(s) {
		odd |= (s[i] - '!') | ('~' - s[i])
	}
	return odd < 0x80
}

// ParseID reads an event or room id: a positive decimal int64.
func ParseID(s string) (int64, error) {
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil || v <= 0 {
		return 0, errors.New("expected a positive whole number")
	}
	return v, nil
}
