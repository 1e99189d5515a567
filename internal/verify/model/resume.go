package model

import "fairgate/internal/wire"

// Known is what is believed of a partition at a point, without its state: where it is, the number and running hash of the
// last outcome, and the chain over every record before.
type Known struct {
	Next  int64 // offset of the next record
	Seq   uint64
	Hash  uint64
	Chain wire.Hash
}

// Resume replays a partition from a known point on. The state at that point is nobody's but the machine's, so what the
// log's own rules decide cannot be predicted. Checked are the chain, every number and hash, one answer to every record,
// the sums of stock, epochs, ticks and log time.
func Resume(partition int32, body func(wire.Kind) wire.Body, at Known) *Partition {
	return &Partition{
		id: partition, ids: newIDs(), body: body, next: at.Next, seq: at.Seq, hash: at.Hash, chain: at.Chain, resumed: true, blind: true,
	}
}

// engineOnly holds a record's outcomes against what the engine decides alone. The first tick tells log time; its chain is
// the first proof that the point was believed with reason.
func (p *Partition) engineOnly(plan plan, r wire.Record, got []seen) (out []Finding) {
	for _, s := range got {
		tick, ok := s.Decoded.(*wire.Ticked)
		if !ok || !p.blind {
			continue
		}
		if tick.Chain != p.chain {
			out = append(out, Finding{5, "the chain from the snapshot's on is not the one that this tick published: the snapshot is of another log, or the log was rewritten"})
		}
		p.clock.Epoch, p.clock.Now, p.clock.Outage = tick.Epoch, tick.Now, tick.Outage
		p.blind = false
		return out
	}
	if p.blind || r.Kind != wire.KindTick && r.Kind != wire.KindEpoch {
		return nil
	}
	for i, want := range plan.fixed {
		if i >= len(got) {
			return append(out, Finding{3, name(want) + " is missing"})
		}
		if d := differ(expected{r.Object, r.Ref, want}, got[i]); d != "" {
			out = append(out, Finding{2, d})
		}
	}
	return out
}
