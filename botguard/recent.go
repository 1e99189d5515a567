package botguard

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

const (
	recentRows  = 2       // a stranger shares all cells of a suspect with probability cells^-rows
	recentCells = 1 << 16 // per row; 1 MB in all
	recentSpan  = 5 * time.Minute
	recentMost  = 1 << 15 // a count stops there
)

// event is something that a suspect did.
type event byte

const (
	failed  event = 1 // a wrong solution
	limited event = 2 // a call above a limit
)

// recent counts what suspects did lately in fixed memory: a count-min sketch whose cells start anew in every span. A
// count can be too high only when another suspect shares every cell of it, and too low at the turn of a span.
type recent struct {
	seed  maphash.Seed
	cells [recentRows][recentCells]atomic.Uint64 // span number << 16 | count
}

func newRecent() *recent { return &recent{seed: maphash.MakeSeed()} }

func spanOf(now time.Time) uint64 { return uint64(now.UnixNano()) / uint64(recentSpan) << 16 }

// cell picks a row's cell. key is a keyed hash, so its bits are as good as random. Events use cells side by side.
func (r *recent) cell(row int, key uint64, e event) *atomic.Uint64 {
	return &r.cells[row][key>>(16*row)%recentCells^uint64(e)]
}

func (r *recent) add(key uint64, e event, now time.Time) {
	span := spanOf(now)
	for row := range recentRows {
		c := r.cell(row, key, e)
		for {
			old := c.Load()
			next := span + 1
			if old&^0xffff == span {
				if old&0xffff >= recentMost {
					break
				}
				next = old + 1
			}
			if c.CompareAndSwap(old, next) {
				break
			}
		}
	}
}

func (r *recent) count(key uint64, e event, now time.Time) int {
	span, least := spanOf(now), uint64(recentMost)
	for row := range recentRows {
		v := r.cell(row, key, e).Load()
		if v&^0xffff != span {
			return 0
		}
		least = min(least, v&0xffff)
	}
	return int(least)
}

// suspect is who answers for a request: its narrow network, or the visitor where many people share an address. The hash is
// keyed anew in each process and stays in it.
func (g *Guard) suspect(r Request, carrier bool) uint64 {
	if carrier {
		return maphash.Bytes(g.recent.seed, r.Visitor[:])
	}
	bits := 56
	if r.Address.Is4() {
		bits = 32
	}
	network := networkBytes(r.Address, bits)
	return maphash.Bytes(g.recent.seed, network[:])
}
