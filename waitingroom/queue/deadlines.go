package queue

// deadline is a place's time limit in a heap. Entries are not taken back: one that no longer says what the place says
// is stale.
type deadline struct {
	at    int64
	place uint32
}

func (d deadline) less(o deadline) bool { return d.at < o.at || (d.at == o.at && d.place < o.place) }

// deadlines is a binary min-heap, by time and then by place, so that it empties in one order on every replica.
type deadlines []deadline

func (h *deadlines) push(d deadline) {
	s := append(*h, d)
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s[i].less(s[up]) {
			break
		}
		s[i], s[up] = s[up], s[i]
		i = up
	}
	*h = s
}

// due takes out the earliest deadline if it is not after now.
func (h *deadlines) due(now int64) (d deadline, ok bool) {
	s := *h
	if len(s) == 0 || s[0].at > now {
		return deadline{}, false
	}
	d = s[0]
	last := len(s) - 1
	s[0] = s[last]
	s = s[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down >= len(s) {
			break
		}
		if down+1 < len(s) && s[down+1].less(s[down]) {
			down++
		}
		if !s[down].less(s[i]) {
			break
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
	*h = s
	return d, true
}
