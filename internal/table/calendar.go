package table

// Calendar keeps days in the order of their keys (instants, or spans of time) and finds the day of a key. On a day stand
// entries; the links between them are kept with the entries, by whoever owns them, so that noting and striking one costs
// the same however many there are. Days without entries are torn out: there are never more days than entries.
//
// The zero value is empty.
type Calendar struct {
	days  []Day
	free  []int32
	heap  []spot          // the earliest first
	where map[int64]int32 // lookup only
	last  int32           // the day that was asked for last, plus one: mostly it is asked for again
}

// Day is the entries under one key.
type Day struct {
	Key         int64
	First, Last int32 // entries; None while empty
	InOrder     bool  // as far as the owner knows
	place       int32 // in the heap
}

// spot is a day's place in the heap, with its key beside it to spare a look at the day.
type spot struct {
	key int64
	day int32
}

// Len is how many days there are.
func (c *Calendar) Len() int { return len(c.heap) }

// Earliest is the day with the lowest key, or nil. It is good until the next call.
func (c *Calendar) Earliest() *Day {
	if len(c.heap) == 0 {
		return nil
	}
	return &c.days[c.heap[0].day]
}

// Find is the day of a key, or nil. It is good until the next call of Open or Close.
func (c *Calendar) Find(key int64) *Day {
	if c.last > 0 && c.days[c.last-1].Key == key {
		return &c.days[c.last-1]
	}
	at, ok := c.where[key]
	if !ok {
		return nil
	}
	c.last = at + 1
	return &c.days[at]
}

// Open is the day of a key; an empty one in order is made if there is none. Its owner puts an entry on it, or closes it.
func (c *Calendar) Open(key int64) *Day {
	if d := c.Find(key); d != nil {
		return d
	}
	if c.where == nil {
		c.where = map[int64]int32{}
	}
	var at int32
	if n := len(c.free); n > 0 {
		at, c.free = c.free[n-1], c.free[:n-1]
	} else {
		at = int32(len(c.days))
		c.days = append(c.days, Day{})
	}
	c.days[at] = Day{Key: key, First: None, Last: None, InOrder: true}
	c.where[key] = at
	c.last = at + 1
	c.heap = append(c.heap, spot{})
	c.up(len(c.heap)-1, spot{key, at})
	return &c.days[at]
}

// Close tears a day out.
func (c *Calendar) Close(d *Day) {
	at := int(d.place)
	gone := c.heap[at].day
	delete(c.where, d.Key)
	c.free = append(c.free, gone)
	if c.last == gone+1 {
		c.last = 0
	}
	end := len(c.heap) - 1
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
