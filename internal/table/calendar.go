package table

// Calendar keeps days in the order of their keys (instants, or spans of time) and finds the day of a key. On a day stand
// entries by number; each is told its place there, so that striking one costs the same however many there are. Days
// without entries are torn out: there are never more days than entries.
//
// The zero value is empty.
type Calendar struct {
	days  []*Day // used again
	free  []int32
	heap  []spot          // the earliest first
	where map[int64]int32 // lookup only
	last  *Day            // that was asked for last: mostly it is asked for again
}

// Day is the entries under one key.
type Day struct {
	Key     int64
	Entries []int32 // None where one was struck
	Next    int     // how many of Entries its owner is done with
	Newest  int64   // for its owner: what Entries are in order of, if InOrder
	InOrder bool
	live    int
	self    int32
	place   int32 // in the heap
}

// spot is a day's place in the heap, with its key beside it to spare a look at the day.
type spot struct {
	key int64
	day int32
}

// keptEntries is how much room for entries a closed day keeps for the next one.
const keptEntries = 1 << 12

// Len is how many days there are.
func (c *Calendar) Len() int { return len(c.heap) }

// Earliest is the day with the lowest key, or nil.
func (c *Calendar) Earliest() *Day {
	if len(c.heap) == 0 {
		return nil
	}
	return c.days[c.heap[0].day]
}

// Find is the day of a key, or nil.
func (c *Calendar) Find(key int64) *Day {
	if c.last != nil && c.last.Key == key {
		return c.last
	}
	at, ok := c.where[key]
	if !ok {
		return nil
	}
	c.last = c.days[at]
	return c.last
}

// Open is the day of a key; if there is none, an empty one, on which the caller puts an entry.
func (c *Calendar) Open(key int64) *Day {
	if d := c.Find(key); d != nil {
		return d
	}
	if c.where == nil {
		c.where = map[int64]int32{}
	}
	if len(c.free) == 0 {
		c.free = append(c.free, int32(len(c.days)))
		c.days = append(c.days, &Day{self: int32(len(c.days))})
	}
	at := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	d := c.days[at]
	*d = Day{Key: key, Entries: d.Entries[:0], InOrder: true, self: at}
	c.where[key] = at
	c.last = d
	c.heap = append(c.heap, spot{})
	c.up(len(c.heap)-1, spot{key, at})
	return d
}

// Add puts an entry on the day and returns its place.
func (d *Day) Add(entry int32) (place int32) {
	d.Entries = append(d.Entries, entry)
	d.live++
	return int32(len(d.Entries) - 1)
}

// Strike takes the entry at a place off the day; an empty day is torn out.
func (c *Calendar) Strike(d *Day, place int32) {
	d.Entries[place] = None
	if d.live--; d.live == 0 {
		c.close(d)
	}
}

// Prefetch asks for the memory that striking the entry at a place of a key's day will touch.
func (c *Calendar) Prefetch(key int64, place int32) {
	if d := c.Find(key); d != nil && int(place) < len(d.Entries) {
		prefetchEntry(&d.Entries[place])
	}
}

// Crowded says that most of a day's places have been struck, so that its owner should set the entries anew.
func (d *Day) Crowded() bool { return len(d.Entries) > 64 && d.live < len(d.Entries)/2 && d.Next == 0 }

// Live is how many entries stand on the day.
func (d *Day) Live() int { return d.live }

func (c *Calendar) close(d *Day) {
	delete(c.where, d.Key)
	c.free = append(c.free, d.self)
	if c.last == d {
		c.last = nil
	}
	if cap(d.Entries) > keptEntries {
		d.Entries = nil
	}
	at, end := int(d.place), len(c.heap)-1
	moved := c.heap[end]
	c.heap = c.heap[:end]
	switch {
	case at == end:
	case at > 0 && moved.key < c.heap[(at-1)/2].key:
		c.up(at, moved)
	default:
		c.down(at, moved)
	}
}

// Keys appends the keys of all days to dst, in no order.
func (c *Calendar) Keys(dst []int64) []int64 {
	for _, s := range c.heap {
		dst = append(dst, s.key)
	}
	return dst
}

// Bytes is how much memory the calendar has, the map guessed.
func (c *Calendar) Bytes() int {
	n := 64 * len(c.where)
	for _, d := range c.days {
		n += 88 + 4*cap(d.Entries)
	}
	return n + 16*cap(c.heap)
}

func (c *Calendar) set(at int, s spot) {
	c.heap[at] = s
	c.days[s.day].place = int32(at)
}

func (c *Calendar) up(at int, s spot) {
	for at > 0 {
		parent := (at - 1) / 2
		if c.heap[parent].key <= s.key {
			break
		}
		c.set(at, c.heap[parent])
		at = parent
	}
	c.set(at, s)
}

func (c *Calendar) down(at int, s spot) {
	for {
		child := 2*at + 1
		if child >= len(c.heap) {
			break
		}
		if child+1 < len(c.heap) && c.heap[child+1].key < c.heap[child].key {
			child++
		}
		if s.key <= c.heap[child].key {
			break
		}
		c.set(at, c.heap[child])
		at = child
	}
	c.set(at, s)
}
