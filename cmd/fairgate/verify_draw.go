package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// shownRanks is how many places of each lane are printed for people; --json has them all.
const shownRanks = 10

// draw recomputes a room's draw and prints it.
func (c verifyCommand) draw(ctx context.Context, l *logs, out io.Writer) error {
	var place string
	if c.Place != "" {
		id, err := placeID(c.Place)
		if err != nil {
			return err
		}
		place = wire.Hex(id)
	}
	d, err := verify.Draw(ctx, l.cfg, l.source, c.Draw)
	if err != nil {
		return err
	}
	if place != "" {
		d.Places = slices.DeleteFunc(d.Places, func(p verify.DrawPlace) bool { return p.Place != place })
		if len(d.Places) == 0 && d.Revealed != 0 {
			d.Wrong = append(d.Wrong, "the place "+place+" takes no part in this draw")
		}
	}
	if c.JSON {
		err = printJSON(out, d)
	} else {
		err = printDraw(out, &d)
	}
	if err == nil && len(d.Wrong) > 0 {
		err = exitError{errors.New("the draw does not hold"), exitWrong}
	}
	return err
}

func printDraw(out io.Writer, d *verify.Drawn) error {
	instant := func(micros int64) string {
		if micros == 0 {
			return "not yet"
		}
		return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04:05.000 UTC")
	}
	var b strings.Builder
	for _, line := range [][2]string{
		{"drawn is who arrived before", instant(d.Closes)}, {"public value", d.Source}, {"hash of the seed", d.Commitment},
		{"published", instant(d.Revealed)}, {"seed", d.Seed}, {"value", d.Public}, {"held", instant(d.Opened)},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-28s %s\n", line[0], line[1])
		}
	}
	for _, p := range d.Places {
		if p.Rank <= shownRanks || len(d.Places) <= shownRanks {
			fmt.Fprintf(&b, "%8d  %-8s %s  draw value %s\n", p.Rank, p.Lane, p.Place, p.Value)
		}
	}
	fmt.Fprintf(&b, "%d invitations of drawn places compared with this order\n", d.Invited)
	for _, w := range d.Wrong {
		fmt.Fprintf(&b, "WRONG  %s\n", w)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
