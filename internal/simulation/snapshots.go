package simulation

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"fairgate/internal/engine"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

const (
	snapshotsKept  = store.SnapshotsKept
	readBackWithin = 60 * sale.Second
)

// snapshot is one row with its bytes.
type snapshot struct {
	store.Snapshot
	data    []byte
	counted bool
}

// snapshots lists those that count, newest first.
func (pg *postgres) snapshots() []store.Snapshot {
	var all []store.Snapshot
	for id := range pg.saved {
		if row := pg.rows[key{table: tableSnapshot, n: id}].(snapshot); row.counted {
			all = append(all, row.Snapshot)
		}
	}
	slices.SortFunc(all, func(a, b store.Snapshot) int {
		if a.NextOffset != b.NextOffset {
			return int(b.NextOffset - a.NextOffset)
		}
		return int(b.ID - a.ID)
	})
	return all[:min(len(all), snapshotsKept)]
}

// save is a transaction. Its id is a sequence's: after a rollback it may be handed out again.
func (pg *postgres) save(s store.Snapshot, data []byte) store.Snapshot {
	last, _ := pg.rows[key{table: tableSequence}].(int64)
	s.ID, s.Size, s.Digest, s.TakenAt = last+1, int64(len(data)), sha256.Sum256(data), pg.clock()
	pg.set(key{table: tableSequence}, s.ID)
	pg.set(key{table: tableSnapshot, n: s.ID}, snapshot{Snapshot: s, data: data})
	return s
}

// count does what store.CountSnapshot does.
func (pg *postgres) count(s store.Snapshot) error {
	row, ok := pg.rows[key{table: tableSnapshot, n: s.ID}].(snapshot)
	if !ok || row.NextOffset != s.NextOffset || row.Digest != s.Digest {
		return fmt.Errorf("simulated: snapshot %d is gone", s.ID)
	}
	row.counted = true
	pg.set(key{table: tableSnapshot, n: s.ID}, row)
	keep := pg.snapshots()
	for id := range pg.saved {
		k := key{table: tableSnapshot, n: id}
		kept := slices.ContainsFunc(keep, func(s store.Snapshot) bool { return s.ID == id })
		if pg.rows[k].(snapshot).counted && !kept {
			pg.set(k, nil)
		}
	}
	return nil
}

// load reads a snapshot's bytes and opens them. Damage is noticed by their digest, as in store.
func (n *node) load(s store.Snapshot, done func(*engine.Core, error)) {
	var row snapshot
	n.w.postgres.call(&n.process, nil, func() {
		row, _ = n.w.postgres.rows[key{table: tableSnapshot, n: s.ID}].(snapshot)
	}, func(err error) {
		switch {
		case err != nil:
			done(nil, err)
		case sha256.Sum256(row.data) != s.Digest:
			done(nil, fmt.Errorf("simulated: %w", store.ErrDamaged))
		default:
			done(engine.Reopen(n.w.machine(), 0, s, row.data))
		}
	})
}

// keepSnapshots takes one now and then, as engine.Runner does.
func (n *node) keepSnapshots() {
	began := n.w.now
	busy := false
	n.every(min(n.w.shape.snapshots/8, 5*sale.Second), func() {
		if busy || n.replica == nil {
			return
		}
		busy = true
		var list []store.Snapshot
		n.w.postgres.call(&n.process, nil, func() { list = n.w.postgres.snapshots() }, func(err error) {
			if err == nil && n.replica != nil && n.due(list, began) {
				n.takeSnapshot(func() { busy = false })
				return
			}
			busy = false
		})
	})
}

func (n *node) due(list []store.Snapshot, began int64) bool {
	age, next := n.w.now-began, int64(0)
	if len(list) > 0 {
		age, next = n.w.postgres.clock().Sub(list[0].TakenAt).Microseconds(), list[0].NextOffset
	}
	patience := int64(1)
	if n.role == engine.Leading {
		patience = 2
	}
	return n.replica.Core().Next() > next && age >= patience*n.w.shape.snapshots
}

// takeSnapshot goes the steps of engine.Runner, and can be interrupted between any two.
func (n *node) takeSnapshot(done func()) {
	pg := n.w.postgres
	s, data := n.replica.Core().Describe(), n.replica.Core().Snapshot(nil)
	pg.call(&n.process, nil, func() { s = pg.save(s, data) }, func(err error) {
		if err != nil {
			done()
			return
		}
		n.load(s, func(core *engine.Core, err error) {
			if err != nil || engine.SameState(s, core) != nil {
				done()
				return
			}
			n.countSnapshot(s, n.w.now, done)
		})
	})
}

func (n *node) countSnapshot(s store.Snapshot, since int64, done func()) {
	pg := n.w.postgres
	switch {
	case n.replica == nil || n.w.now-since > readBackWithin:
		done()
		return
	case !engine.MayCount(s, n.replica.Seen()):
		n.after(againLast, func() { n.countSnapshot(s, since, done) })
		return
	}
	pg.call(&n.process, nil, func() {
		if pg.count(s) == nil {
			n.w.say("%s: snapshot %d at %d counts", n.name, s.ID, s.NextOffset)
			n.w.audit.counted(s)
		}
	}, func(error) { done() })
}

// damage spoils a stored snapshot: a bit, or its end.
func (pg *postgres) damage() {
	all := pg.snapshots()
	if len(all) == 0 {
		return
	}
	k := key{table: tableSnapshot, n: all[pg.w.IntN(len(all))].ID}
	row := pg.rows[k].(snapshot)
	data := slices.Clone(row.data)
	if len(data) == 0 {
		return // nothing is left of it
	}
	if i := pg.w.IntN(len(data)); pg.w.IntN(2) == 0 {
		data[i] ^= 1 << pg.w.IntN(8)
	} else {
		data = data[:i]
	}
	row.data = data
	pg.w.say("snapshot %d is damaged", k.n)
	pg.rows[k] = row
}
