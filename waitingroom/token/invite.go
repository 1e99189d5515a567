package token

import (
	"crypto/subtle"
	"fmt"

	"fairgate/internal/wire"
)

// MaxUses is the most places that one invite code gives.
const MaxUses = 100_000

// Invites mints and verifies invite codes with a ring of keys of their own, which live as long as the codes. It is
// immutable, and safe for any number of goroutines.
type Invites struct{ ring *Ring }

// NewInvites returns the minter of a ring.
func NewInvites(keys []Key) (*Invites, error) {
	ring, err := NewRing(keys)
	if err != nil {
		return nil, err
	}
	return &Invites{ring}, nil
}

// Mint signs a code: wire.InviteSize bytes in the form of Text. The caller fills everything but the key, Number from a
// source of random bits. It fails with ErrForm for what no code may say, and with ErrKey if no key covers the instant.
func (v *Invites) Mint(i wire.Invite) (string, error) {
	if i.Room <= 0 || i.Uses == 0 || i.Uses > MaxUses || i.Expires <= i.Issued {
		return "", fmt.Errorf("%w: room %d, %d uses, from %d to %d", ErrForm, i.Room, i.Uses, i.Issued, i.Expires)
	}
	key, err := v.ring.At(int64(i.Issued) * second)
	if err != nil {
		return "", err
	}
	i.KeyID = key.ID
	b := wire.AppendInvite(make([]byte, 0, wire.InviteSize), &i)
	return Text(append(b, sign(key, b)[:wire.InviteMACSize]...)), nil
}

// Verify reads a code that must be ours, of this room, and good at the instant now, µs.
func (v *Invites) Verify(text string, room, now int64) (wire.Invite, error) {
	b, err := FromText(text, wire.InviteSize)
	if err != nil {
		return wire.Invite{}, err
	}
	i, signed, mac, err := wire.ParseInvite(b)
	if err != nil {
		return wire.Invite{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	issued := int64(i.Issued) * second
	key, err := v.ring.Signed(i.KeyID, issued, now)
	if err != nil {
		return wire.Invite{}, err
	}
	switch {
	case subtle.ConstantTimeCompare(sign(key, signed)[:wire.InviteMACSize], mac) != 1:
		err = ErrMAC
	case i.Room != room:
		err = ErrRoom
	case issued > now+Ahead:
		err = ErrFuture
	case now >= int64(i.Expires)*second:
		err = ErrExpired
	}
	if err != nil {
		return wire.Invite{}, err
	}
	return i, nil
}
