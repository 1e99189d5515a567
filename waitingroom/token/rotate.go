package token

import (
	"errors"
	"fmt"
)

// ErrRotate says why a ring cannot be rotated; errors.Is finds it under the detail.
var ErrRotate = errors.New("token: cannot rotate")

// Rotate returns a ring with one key more, which signs what belongs to instants from begin on, µs. What the keys before it
// signed is accepted for keep µs after that; 0 means for ever. Keys that nothing needs any more are left out.
//
// begin must lie far enough ahead for everybody to have the new ring by then: which key signs follows from an instant, so
// those who have it and those who do not yet give the same answers until begin.
func Rotate(keys []Key, now, begin, keep int64, secret [SecretSize]byte) ([]Key, error) {
	ring, err := NewRing(keys)
	if err != nil {
		return nil, err
	}
	next := Key{ID: 1, Secret: secret, NotBefore: begin}
	var out []Key
	for _, k := range ring.keys {
		next.ID = max(next.ID, k.ID+1)
		switch {
		case begin <= now, k.NotBefore >= begin:
			return nil, fmt.Errorf("%w: the new key must begin in the future and after %v", ErrRotate, k)
		case k.ID == 1<<32-1:
			return nil, fmt.Errorf("%w: %v has the greatest number there is", ErrRotate, k)
		case keep != 0 && k.NotAfter != 0 && k.NotAfter <= now:
			continue
		case keep != 0 && (k.NotAfter == 0 || k.NotAfter < begin):
			k.NotAfter = begin + keep // it signs until begin, so it must not end before
		}
		out = append(out, k)
	}
	out = append(out, next)
	if _, err := NewRing(out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRotate, err)
	}
	return out, nil
}
