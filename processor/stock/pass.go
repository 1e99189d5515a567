package stock

import "fairgate/internal/wire"

type passKey struct {
	event int64
	pass  wire.ID
}

// usedPass is a pass that bought once and has not expired.
type usedPass struct {
	expires int64 // instant, µs
	event   int64
	pass    wire.ID
	user    wire.ID
}

func (a *usedPass) before(b *usedPass) bool {
	if a.expires != b.expires {
		return a.expires < b.expires
	}
	if a.event != b.event {
		return a.event < b.event
	}
	return string(a.pass[:]) < string(b.pass[:])
}

// passTable remembers who used a pass up, until it expires: an expired pass is refused for its age.
type passTable struct {
	user map[passKey]wire.ID // lookup only
	heap []usedPass          // by expiry
}

func (t *passTable) add(p usedPass) {
	t.user[passKey{p.event, p.pass}] = p.user
	t.heap = append(t.heap, p)
	for at := len(t.heap) - 1; at > 0; {
		parent := (at - 1) / 2
		if !t.heap[at].before(&t.heap[parent]) {
			return
		}
		t.heap[at], t.heap[parent] = t.heap[parent], t.heap[at]
		at = parent
	}
}

// forget drops at most most passes that expired by now.
func (t *passTable) forget(now int64, most int) {
	for range most {
		if len(t.heap) == 0 || t.heap[0].expires > now {
			return
		}
		delete(t.user, passKey{t.heap[0].event, t.heap[0].pass})
		last := len(t.heap) - 1
		t.heap[0] = t.heap[last]
		t.heap = t.heap[:last]
		t.sink()
	}
}

func (t *passTable) sink() {
	for at := 0; ; {
		child := 2*at + 1
		if child >= len(t.heap) {
			return
		}
		if child+1 < len(t.heap) && t.heap[child+1].before(&t.heap[child]) {
			child++
		}
		if !t.heap[child].before(&t.heap[at]) {
			return
		}
		t.heap[at], t.heap[child] = t.heap[child], t.heap[at]
		at = child
	}
}
