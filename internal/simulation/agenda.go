package simulation

// agenda is what will happen, the next first: a heap by time and, at one time, by the order of planning.
type agenda struct {
	heap  []plan
	count uint64
}

type plan struct {
	at    int64
	order uint64
	do    func()
}

func (p *plan) before(o *plan) bool { return p.at < o.at || p.at == o.at && p.order < o.order }

func (a *agenda) add(at int64, do func()) {
	a.count++
	a.heap = append(a.heap, plan{at, a.count, do})
	i := len(a.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !a.heap[i].before(&a.heap[parent]) {
			return
		}
		a.heap[i], a.heap[parent] = a.heap[parent], a.heap[i]
		i = parent
	}
}

func (a *agenda) first() (plan, bool) {
	if len(a.heap) == 0 {
		return plan{}, false
	}
	return a.heap[0], true
}

func (a *agenda) take() {
	last := len(a.heap) - 1
	a.heap[0] = a.heap[last]
	a.heap[last] = plan{}
	a.heap = a.heap[:last]
	i := 0
	for {
		child := 2*i + 1
		if child >= last {
			return
		}
		if child+1 < last && a.heap[child+1].before(&a.heap[child]) {
			child++
		}
		if !a.heap[child].before(&a.heap[i]) {
			return
		}
		a.heap[i], a.heap[child] = a.heap[child], a.heap[i]
		i = child
	}
}
