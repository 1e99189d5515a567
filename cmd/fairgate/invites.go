package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// invitesCommand makes invite codes.
type invitesCommand struct {
	New newInvitesCommand `cmd:"" help:"Print invite codes for a room, one a line: /rooms/ROOM?invite=CODE leads into its invited lane."`
}

type newInvitesCommand struct {
	configFlags
	Room  int64         `arg:"" help:"The waiting room."`
	Count int           `help:"How many codes." default:"1"`
	Uses  uint32        `help:"How many places each gives at a time." default:"1"`
	For   time.Duration `help:"How long they are good." default:"720h"`
}

// maxInvites is how many codes one call prints.
const maxInvites = 1_000_000

// Run prints the codes. Nothing else keeps them.
func (c newInvitesCommand) Run(out io.Writer) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	invites, err := cfg.Keys.invites()
	if err != nil {
		return err
	}
	if invites == nil {
		return errors.New("keys.invites: expected a key, made by: fairgate keys new")
	}
	if c.Count < 1 || c.Count > maxInvites {
		return fmt.Errorf("--count: expected 1 to %d, got %d", maxInvites, c.Count)
	}
	now := time.Now()
	invite := wire.Invite{Room: c.Room, Uses: c.Uses, Issued: uint32(now.Unix()), Expires: uint32(now.Add(c.For).Unix())}
	for range c.Count {
		var number [8]byte
		if _, err := rand.Read(number[:]); err != nil {
			return err
		}
		invite.Number = binary.LittleEndian.Uint64(number[:])
		code, err := invites.Mint(invite)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, code); err != nil {
			return err
		}
	}
	return nil
}

// invites are the keys of invite codes; nil if there are none.
func (c KeysConfig) invites() (*token.Invites, error) {
	if c.Invites.Reveal() == "" {
		return nil, nil
	}
	keys, err := token.ParseKeys(c.Invites.Reveal())
	if err != nil {
		return nil, fmt.Errorf("keys.invites: %w", err)
	}
	invites, err := token.NewInvites(keys)
	if err != nil {
		return nil, fmt.Errorf("keys.invites: %w", err)
	}
	return invites, nil
}
