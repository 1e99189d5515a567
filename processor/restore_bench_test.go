package processor

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/engine"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
)

// million is the state of a partition with a million live holds, by as many users, and their command ids.
func million(b *testing.B) *engine.Core {
	core := engine.NewCore(stock.New(stock.Limits{}), 0)
	r := rand.New(rand.NewPCG(1, 2))
	var out wire.Outcomes
	var buf []byte
	now := 1_800_000_000 * sale.Second
	add := func(h wire.Record, body wire.Body) {
		buf = wire.AppendRecord(buf[:0], h, body)
		out.Reset()
		if err := core.Apply(core.Next(), buf, &out); err != nil {
			b.Fatal(err)
		}
	}
	id := func() (v wire.ID) {
		binary.LittleEndian.PutUint64(v[:], r.Uint64())
		binary.LittleEndian.PutUint64(v[8:], r.Uint64())
		return v
	}
	add(wire.Record{}, &wire.Epoch{Epoch: 1})
	add(wire.Record{}, &wire.Tick{Epoch: 1, Now: now})
	add(wire.Record{Object: 1}, &wire.DefineEvent{Currency: [3]byte{'E', 'U', 'R'}, PerUser: 4})
	add(wire.Record{Object: 1}, &wire.DefineType{Type: 1, Capacity: sale.MaxCapacity, Default: true, Price: wire.Price{Ticket: 4500}})
	for n := range 1_000_000 {
		if n%10_000 == 0 {
			now += 200 * sale.Millisecond
			add(wire.Record{}, &wire.Tick{Epoch: 1, Now: now})
		}
		user := id()
		subject, _ := sale.UUID(user).MarshalText()
		add(wire.Record{Object: 1, Ref: id(), Command: id(), NotAfter: now + sale.Minute}, &wire.Hold{
			Subject: subject, UserKey: user, TicketBase: id(), Lines: []wire.Line{{Type: 1, Quantity: 2}},
		})
	}
	return core
}

// BenchmarkRestore is how long a processor takes from a stored snapshot of a million live holds to being ready for the
// next record: loading from Postgres, decompressing, checking, rebuilding every table. Beside it, how long the loop
// stands still while such a snapshot is encoded.
func BenchmarkRestore(b *testing.B) {
	db, err := store.New(b.Context(), store.Config{Write: conf.Secret(testpg.Migrated(b, "store", store.Migrate))})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	core := million(b)
	began := time.Now()
	data := core.Snapshot(nil)
	pause := time.Since(began)
	s, err := db.SaveSnapshot(b.Context(), store.Snapshot{Name: "orders/0", NextOffset: core.Next(), NextSeq: core.Seq() + 1}, data)
	if err != nil {
		b.Fatal(err)
	}
	var loading time.Duration
	for b.Loop() {
		began := time.Now()
		loaded, err := db.LoadSnapshot(b.Context(), s)
		if err != nil {
			b.Fatal(err)
		}
		loading += time.Since(began)
		again := engine.NewCore(stock.New(stock.Limits{}), 0)
		if err := again.Restore(loaded); err != nil {
			b.Fatal(err)
		}
		if again.Next() != core.Next() {
			b.Fatal("it is at another offset")
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "bench:restore.million:s")
	b.ReportMetric(loading.Seconds()/float64(b.N), "loading-s")
	b.ReportMetric(float64(pause.Milliseconds()), "bench:snapshot.pause:ms")
	b.ReportMetric(float64(len(data))/1e6, "snapshot-MB")
}
