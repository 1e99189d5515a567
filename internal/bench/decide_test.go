package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"fairgate/internal/engine"
	"fairgate/internal/eventlog"
	"fairgate/internal/store"
	"fairgate/internal/wire"
	"fairgate/processor/stock"
)

var (
	engineDecides = decider{run: byEngine, ticks: true}
	relayCopies   = decider{run: byRelay}
)

// byEngine decides as the processor does: the real engine and stock machine. The lease is won at once, no snapshot is
// taken: a standby does that.
func byEngine(ctx context.Context, c *cluster, input, outcomes string) error {
	runner := engine.New(engine.Config{
		Input: input, Outcomes: outcomes,
		Tuning: engine.Tuning{SnapshotEvery: time.Hour, SnapshotRecords: 1 << 40},
	}, engine.Deps{
		Events: c.log, Leases: alone{}, Snapshots: alone{},
		RoomTime: func() (int64, int64) { return time.Now().UnixMicro(), 0 },
		Machine:  func() engine.Machine { return stock.New(stock.Limits{}) },
	})
	return runner.Run(ctx)
}

// alone is a world without other replicas: the lease is free, and there are no snapshots.
type alone struct{}

func (alone) Contend(context.Context, string, wire.ID, string, func() wire.ID) (engine.Lease, error) {
	return alone{}, nil
}
func (alone) Epoch() uint64                          { return 1 }
func (alone) Renew(context.Context, uint64) error    { return nil }
func (alone) Release(context.Context, wire.ID) error { return nil }
func (alone) Abandon()                               {}

func (alone) SaveSnapshot(context.Context, store.Snapshot, []byte) (store.Snapshot, error) {
	return store.Snapshot{}, errors.New("nobody keeps snapshots here")
}
func (alone) SnapshotTurn(context.Context, string) (func(), bool, error) {
	return nil, false, nil
}
func (alone) CountSnapshot(context.Context, store.Snapshot) error          { return nil }
func (alone) Snapshots(context.Context, string) ([]store.Snapshot, error)  { return nil, nil }
func (alone) LoadSnapshot(context.Context, store.Snapshot) ([]byte, error) { return nil, nil }
func (alone) NewestSnapshot(context.Context, string) (time.Duration, int64, bool, error) {
	return 0, 0, true, nil
}

// byRelay writes what the engine would write, byte for byte as long, and decides nothing: it copies one outcome and puts
// the command's id into it. It reads ahead and has one batch in flight, as the engine has; it does not read back.
func byRelay(ctx context.Context, c *cluster, input, outcomes string) error {
	pattern := outcomeOfAHold()
	batches := make(chan [][]byte, 2)
	go func() {
		defer close(batches)
		tail := c.log.Tail(input, 0, 0, eventlog.TailConfig{MaxWait: 100 * time.Millisecond})
		var seq uint64
		for {
			records, err := tail.Fetch(ctx)
			if err != nil {
				return
			}
			for len(records) > 0 {
				n := min(len(records), eventlog.MaxBatchRecords)
				select {
				case batches <- copies(pattern, records[:n], seq):
				case <-ctx.Done():
					return
				}
				seq += uint64(n)
				records = records[n:]
			}
		}
	}()
	for values := range batches {
		for len(values) > 0 {
			n := min(len(values), eventlog.MaxBatchRecords, eventlog.MaxBatchBytes/(len(pattern)+64))
			if _, err := c.log.AppendBatch(ctx, outcomes, 0, values[:n]); err == nil {
				values = values[n:]
			} else if ctx.Err() != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func copies(pattern []byte, records []eventlog.Record, seq uint64) [][]byte {
	size := len(pattern)
	buf, values := make([]byte, size*len(records)), make([][]byte, len(records))
	for i, r := range records {
		v := buf[i*size : (i+1)*size : (i+1)*size]
		copy(v, pattern)
		copy(v[56:72], r.Value[32:48])
		seq++
		putSeq(v, seq)
		values[i] = v
	}
	return values
}

func putSeq(outcome []byte, seq uint64) { binary.LittleEndian.PutUint64(outcome[16:], seq) }

// outcomeOfAHold is what the engine emits for one hold.
func outcomeOfAHold() []byte {
	core := engine.NewCore(stock.New(stock.Limits{}), 0)
	var out wire.Outcomes
	start := [][]byte{
		wire.AppendRecord(nil, wire.Record{}, &wire.Epoch{Epoch: 1}),
		wire.AppendRecord(nil, wire.Record{}, &wire.Tick{Epoch: 1, Now: time.Now().UnixMicro()}),
	}
	for _, value := range slices.Concat(start, opening(), [][]byte{command(nil, 1)}) {
		out.Reset()
		if err := core.Apply(core.Next(), value, &out); err != nil {
			panic(err)
		}
	}
	return out.At(out.Len() - 1)
}
