package waitingroom

import (
	"slices"
	"sync"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// crowded holds what the leader last told of each room's crowded networks.
type crowded struct {
	mu     sync.RWMutex
	byRoom map[int64]*wire.Networks // sorted by span and key; never changed
}

// take keeps a list if it is newer. A room's list stays when the room has none any more: prices of a room that is over
// matter to nobody.
func (c *crowded) take(value []byte) error {
	n, err := wire.ParseNetworks(value)
	if err != nil {
		return err
	}
	slices.SortFunc(n.List, compareNetworks)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byRoom == nil {
		c.byRoom = make(map[int64]*wire.Networks)
	}
	old := c.byRoom[n.Room]
	if old == nil && len(c.byRoom) >= MaxRooms || old != nil && (n.Offset < old.Offset || n.Offset == old.Offset && n.Epoch <= old.Epoch) {
		return nil
	}
	c.byRoom[n.Room] = &n
	return nil
}

func compareNetworks(a, b wire.Network) int {
	switch {
	case a.Span != b.Span:
		return int(a.Span) - int(b.Span)
	case a.Key < b.Key:
		return -1
	case a.Key > b.Key:
		return 1
	}
	return 0
}

// places is how many places a room has from a client's networks, as far as they are crowded.
func (c *crowded) places(room int64, n sale.Networks) sale.NetworkPlaces {
	c.mu.RLock()
	list := c.byRoom[room]
	c.mu.RUnlock()
	if list == nil {
		return sale.NetworkPlaces{}
	}
	of := func(span wire.Span, key uint64) int64 {
		i, ok := slices.BinarySearchFunc(list.List, wire.Network{Span: span, Key: key}, compareNetworks)
		if !ok || key == 0 {
			return 0
		}
		return int64(list.List[i].Places)
	}
	return sale.NetworkPlaces{
		Narrow: of(wire.SpanNarrow, n.Narrow), Wide: of(wire.SpanWide, n.Wide), Broad: of(wire.SpanBroad, n.Broad),
		Origin: of(wire.SpanOrigin, n.Origin),
	}
}
