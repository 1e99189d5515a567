package stock

// none marks an absent index.
const none int32 = -1

// slab is a table of entries that are found by index and whose places are used again. Indexes never decide an outcome:
// a restored machine may number its entries anew.
type slab[T any] struct {
	items []T
	free  []int32
}

func (s *slab[T]) put(v T) int32 {
	if n := len(s.free); n > 0 {
		at := s.free[n-1]
		s.free = s.free[:n-1]
		s.items[at] = v
		return at
	}
	s.items = append(s.items, v)
	return int32(len(s.items) - 1)
}

func (s *slab[T]) drop(at int32) {
	var zero T
	s.items[at] = zero
	s.free = append(s.free, at)
}

func (s *slab[T]) at(i int32) *T { return &s.items[i] }

func (s *slab[T]) len() int { return len(s.items) - len(s.free) }

// line is one line of a booking: up to sale.MaxQuantity tickets of a type of its event, at one of the event's prices.
type line struct {
	kind     uint8 // index into event.types
	quantity uint8
	price    uint16 // index into event.prices; meaningless while waitlisted
}

// lineTable holds the lines of all bookings, each booking's side by side; places are used again by size.
type lineTable struct {
	items []line
	free  [9][]int32 // by how many lines
}

func (t *lineTable) put(lines []line) int32 {
	n := len(lines)
	if k := len(t.free[n]); k > 0 {
		at := t.free[n][k-1]
		t.free[n] = t.free[n][:k-1]
		copy(t.items[at:], lines)
		return at
	}
	t.items = append(t.items, lines...)
	return int32(len(t.items) - n)
}

func (t *lineTable) drop(at int32, n uint8) { t.free[n] = append(t.free[n], at) }

// moment is a booking's place in a heap: by deadline, then in the order of the log.
type moment struct {
	deadline int64 // elapsed, µs
	order    int64 // offset of the record that made the booking
	booking  int32
}

func (a moment) before(b moment) bool {
	return a.deadline < b.deadline || a.deadline == b.deadline && a.order < b.order
}

// heap is a binary heap of moments that knows where each booking is, so that any can be taken out.
type heap struct {
	items []moment
	where []int32 // by booking; none when it is not here
}

// due takes out the earliest booking whose deadline is not after now.
func (h *heap) due(now int64) (booking int32, ok bool) {
	if len(h.items) == 0 || h.items[0].deadline > now {
		return none, false
	}
	booking = h.items[0].booking
	h.remove(booking)
	return booking, true
}

func (h *heap) add(v moment) {
	for int(v.booking) >= len(h.where) {
		h.where = append(h.where, none)
	}
	h.items = append(h.items, v)
	h.up(len(h.items)-1, v)
}

// remove takes a booking out; one that is not here is no error.
func (h *heap) remove(booking int32) {
	if int(booking) >= len(h.where) || h.where[booking] == none {
		return
	}
	at := int(h.where[booking])
	h.where[booking] = none
	last := h.items[len(h.items)-1]
	h.items = h.items[:len(h.items)-1]
	if at == len(h.items) {
		return
	}
	if at > 0 && last.before(h.items[(at-1)/2]) {
		h.up(at, last)
		return
	}
	h.down(at, last)
}

func (h *heap) set(at int, v moment) {
	h.items[at] = v
	h.where[v.booking] = int32(at)
}

func (h *heap) up(at int, v moment) {
	for at > 0 {
		parent := (at - 1) / 2
		if !v.before(h.items[parent]) {
			break
		}
		h.set(at, h.items[parent])
		at = parent
	}
	h.set(at, v)
}

func (h *heap) down(at int, v moment) {
	for {
		child := 2*at + 1
		if child >= len(h.items) {
			break
		}
		if child+1 < len(h.items) && h.items[child+1].before(h.items[child]) {
			child++
		}
		if !h.items[child].before(v) {
			break
		}
		h.set(at, h.items[child])
		at = child
	}
	h.set(at, v)
}
