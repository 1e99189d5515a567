package verify

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/wire"
)

// heads are the chain heads that Postgres has of a partition, while the log is held against them: every one must be the
// log's, and from the first of them on every tick that closes over a new booking must have one.
type heads struct {
	stored map[int64]storedHead // by the tick's offset; those not found in the log yet
	first  int64                // the least offset stored; -1 for none
	known  map[int64]bool       // events that have a row; bookings of others are not projected
	open   bool                 // a booking was made since the newest tick
	wrong  func(invariant int, where, format string, args ...any)
}

type storedHead struct {
	chain string // its bytes
	at    int64
	seq   uint64
}

func (v *view) chainHeads(ctx context.Context, p int32, wrong func(int, string, string, ...any)) (heads, error) {
	h := heads{stored: map[int64]storedHead{}, first: -1, wrong: wrong}
	var err error
	if h.known, err = v.events(ctx); err != nil {
		return h, err
	}
	rows, err := v.tx.Query(ctx, `SELECT tick_offset, chain, log_time, seq FROM chain_heads WHERE partition = $1 ORDER BY tick_offset`, p)
	if err != nil {
		return h, fmt.Errorf("reading chain heads: %w", err)
	}
	var offset, at, seq int64
	var chain []byte
	_, err = pgx.ForEachRow(rows, []any{&offset, &chain, &at, &seq}, func() error {
		if h.first < 0 {
			h.first = offset
		}
		h.stored[offset] = storedHead{string(chain), at, uint64(seq)}
		return nil
	})
	if err != nil {
		return h, fmt.Errorf("reading chain heads: %w", err)
	}
	return h, nil
}

// take holds a tick against the head stored there.
func (h *heads) take(o wire.Outcome, body wire.Body) {
	switch b := body.(type) {
	case *wire.Held, *wire.Waitlisted:
		h.open = h.open || h.known[o.Object]
	case *wire.Ticked:
		where := fmt.Sprintf("chain head at record %d", o.Offset)
		got, ok := h.stored[o.Offset]
		switch {
		case !ok && h.open && h.first >= 0 && o.Offset > h.first:
			h.wrong(5, where, "Postgres lacks the head, which closes over a new booking")
		case ok && got != storedHead{string(b.Chain[:]), o.At, o.Seq}:
			h.wrong(5, where, "Postgres says chain %x, outcome %d at %s; the log says %x, outcome %d at %s",
				got.chain, got.seq, instant(got.at), b.Chain, o.Seq, instant(o.At))
		}
		delete(h.stored, o.Offset)
		h.open = false
	}
}

// checkHeads says what Postgres has and the log has not.
func (v *verifier) checkHeads(_ context.Context, _ *view, f *fold, _ map[int64]bool) error {
	for offset := range f.heads.stored {
		v.violate(5, fmt.Sprintf("chain head at record %d", offset), "Postgres has a head where the log has no tick")
	}
	return nil
}
