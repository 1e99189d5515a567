// Package token mints and verifies what a visitor carries through the waiting room: challenges and queue tokens. It is
// pure: no clock, no randomness, no I/O; instants (µs of room time) and random bits come in as arguments, so any edge
// with the same keys gives the same answer, byte for byte.
package token

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// SecretSize is the length of a key's secret, and of a pass key's seed, in bytes.
const SecretSize = 32

// MaxKeys bounds a ring.
const MaxKeys = 16

// Key is one key of a ring. Which key signs a place depends on the place's arrival instant alone, never on the moment of
// signing: from NotBefore until a newer key's NotBefore. What it signed is accepted until NotAfter, so rotation means
// adding a key whose NotBefore lies far enough ahead for every edge to have read it, and setting the old key's NotAfter
// at least Life after that.
type Key struct {
	ID        uint32 // not 0; unique in its ring
	Secret    [SecretSize]byte
	NotBefore int64 // instant, µs
	NotAfter  int64 // instant, µs, from which nothing it signed is accepted; 0 for never
}

// String names the key without its secret.
func (k Key) String() string { return "key " + strconv.FormatUint(uint64(k.ID), 10) }

// GoString is String: %#v must not print the secret either.
func (k Key) GoString() string { return k.String() }

// Text writes the key for a configuration file: "ID NOTBEFORE NOTAFTER SECRET", the instants in whole seconds since
// 1970, the secret in hex. It is a secret itself.
func (k Key) Text() string {
	return fmt.Sprintf("%d %d %d %x", k.ID, k.NotBefore/second, k.NotAfter/second, k.Secret[:])
}

const second = 1_000_000

// maxSeconds keeps an instant in µs far from overflow (the year 5138).
const maxSeconds = 100_000_000_000

// ErrKeyText says what a key's text should look like. It never repeats the text, which is a secret.
var ErrKeyText = errors.New(`token: expected a key as "ID NOTBEFORE NOTAFTER SECRET": a number from 1, two instants in ` +
	`seconds since 1970 (0 for no end), 64 hex digits`)

// ParseKey reads what Text wrote.
func ParseKey(text string) (Key, error) {
	f := strings.Fields(text)
	if len(f) != 4 || len(f[3]) != 2*SecretSize {
		return Key{}, ErrKeyText
	}
	id, err := strconv.ParseUint(f[0], 10, 32)
	before, err2 := strconv.ParseInt(f[1], 10, 64)
	after, err3 := strconv.ParseInt(f[2], 10, 64)
	k := Key{ID: uint32(id), NotBefore: before * second, NotAfter: after * second}
	_, err4 := hex.Decode(k.Secret[:], []byte(f[3]))
	if err != nil || err2 != nil || err3 != nil || err4 != nil || id == 0 ||
		before < 0 || before > maxSeconds || after < 0 || after > maxSeconds {
		return Key{}, ErrKeyText
	}
	return k, nil
}

// ParseKeys reads one key a line; empty lines and lines that begin with # are skipped.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Ring is a set of keys ordered by NotBefore. It is immutable, and safe for any number of goroutines.
type Ring struct{ keys []Key }

// NewRing checks the keys and orders them. Two keys with one id or one NotBefore would make the choice ambiguous.
func NewRing(keys []Key) (*Ring, error) {
	if len(keys) == 0 || len(keys) > MaxKeys {
		return nil, fmt.Errorf("token: expected 1 to %d keys, got %d", MaxKeys, len(keys))
	}
	keys = slices.Clone(keys)
	slices.SortFunc(keys, func(a, b Key) int { return cmp.Compare(a.NotBefore, b.NotBefore) })
	for i, k := range keys {
		switch {
		case k.ID == 0:
			return nil, errors.New("token: a key without an id")
		case k.Secret == [SecretSize]byte{}:
			return nil, fmt.Errorf("token: %v has an empty secret", k)
		case k.NotAfter != 0 && k.NotAfter <= k.NotBefore:
			return nil, fmt.Errorf("token: %v ends before it begins", k)
		case i > 0 && keys[i-1].NotBefore == k.NotBefore:
			return nil, fmt.Errorf("token: %v and %v begin at the same instant", keys[i-1], k)
		case slices.ContainsFunc(keys[:i], func(o Key) bool { return o.ID == k.ID }):
			return nil, fmt.Errorf("token: two keys have the id %d", k.ID)
		}
	}
	return &Ring{keys}, nil
}

// At is the key that signs what belongs to an instant. It returns ErrKey when no key had begun, or the one that had was
// already over.
func (r *Ring) At(instant int64) (*Key, error) {
	for i := len(r.keys) - 1; i >= 0; i-- {
		k := &r.keys[i]
		if k.NotBefore > instant {
			continue
		}
		if k.NotAfter != 0 && instant >= k.NotAfter {
			break
		}
		return k, nil
	}
	return nil, ErrKey
}

// Signed is the key with an id if it is the one that signs the instant and is still accepted now; else ErrKey. A key
// that leaked after its successor began thus cannot sign a later arrival.
func (r *Ring) Signed(id uint32, instant, now int64) (*Key, error) {
	k, err := r.At(instant)
	if err != nil || k.ID != id || (k.NotAfter != 0 && now >= k.NotAfter) {
		return nil, ErrKey
	}
	return k, nil
}

// Keys lists the ring, oldest first.
func (r *Ring) Keys() []Key { return slices.Clone(r.keys) }
