package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"fairgate/internal/sale"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// replayCommand tells the story of one booking, event, place or room from the logs.
type replayCommand struct {
	logFlags
	Booking   string `help:"Booking id." xor:"what"`
	Event     int64  `help:"Event id." xor:"what"`
	Place     string `help:"Place in line: the queue token, or its id (32 hex digits)." xor:"what"`
	Room      int64  `help:"Room id." xor:"what"`
	Partition int32  `help:"Look only in this partition of the log; -1 for all." default:"-1"`
}

// Run prints the story.
func (c replayCommand) Run(ctx context.Context, out io.Writer) error {
	story, err := c.story()
	if err != nil {
		return err
	}
	l, err := c.open(ctx, "replay")
	if err != nil {
		return err
	}
	defer l.close()
	story.Prefix = l.cfg.Prefix
	partitions := l.cfg.OrdersPartitions
	if story.Log == wire.TopicQueue {
		partitions = l.cfg.QueuePartitions
	}
	found := 0
	for p := range int32(partitions) {
		if c.Partition >= 0 && p != c.Partition {
			continue
		}
		story.Partition = p
		n, err := verify.Replay(ctx, l.source, story, out)
		if err != nil {
			return err
		}
		found += n
	}
	if found == 0 {
		return fmt.Errorf("the log %s says nothing of it", story.Log)
	}
	return nil
}

func (c replayCommand) story() (verify.Story, error) {
	s := verify.Story{Log: wire.TopicOrders}
	switch {
	case c.Booking != "":
		id, err := sale.ParseUUID(c.Booking)
		if err != nil {
			return s, fmt.Errorf("--booking: %w", err)
		}
		s.Ref = id
	case c.Place != "":
		id, err := placeID(c.Place)
		if err != nil {
			return s, err
		}
		s.Log, s.Ref = wire.TopicQueue, id
	case c.Event > 0:
		s.Object = c.Event
	case c.Room > 0:
		s.Log, s.Object = wire.TopicQueue, c.Room
	default:
		return s, errors.New("expected one of --booking, --event, --place, --room")
	}
	return s, nil
}

// placeID reads a place's id, or the queue token that carries it. The token's signature is of no interest here: the log
// is asked, and knows only places that are real.
func placeID(text string) (wire.ID, error) {
	if id, err := wire.ParseHex(text); err == nil {
		return id, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		if t, _, _, err := wire.ParseToken(raw); err == nil {
			return t.ID, nil
		}
	}
	return wire.ID{}, errors.New("--place: expected a queue token, or 32 hex digits")
}
