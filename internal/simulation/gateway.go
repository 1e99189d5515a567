package simulation

import (
	"errors"
	"fmt"
	"slices"

	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/follow"
	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

const (
	answerWait = 2 * sale.Second
	laneMost   = 500 // records in one call
	queueMost  = 200 // records that wait, of those for whose answers nobody waits
)

// gateway takes commands of fans: it appends them, waits for their outcomes, and says what may be said when none comes.
type gateway struct {
	process
	cursor  follow.Cursor
	from    int64
	reading bool
	waiters map[wire.ID][]*call
	queue   []*call
	flying  bool
}

// call is one request underway in a gateway, and its record in the lane.
type call struct {
	c        *command // nil: nobody waits
	value    []byte
	notAfter int64 // 0 for none
	over     bool  // its caller has been answered
	flying   bool
	doubt    bool // it may be in the log
	acked    bool
}

func newGateway(w *world, i int) *gateway {
	g := &gateway{process: process{w: w, name: fmt.Sprintf("gateway%d", i)}}
	g.clock = w.goodClock()
	g.boot()
	return g
}

func (g *gateway) boot() {
	g.alive, g.reading, g.flying = true, false, false
	g.waiters, g.queue = map[wire.ID][]*call{}, nil
	// Where the outcomes end now: the answers to what it sends lie behind that.
	g.w.broker.fetch(&g.process, g.w.broker.outcomes, 0, 0, func(f fetched) {
		g.from = int64(len(g.w.broker.outcomes.values))
		g.cursor = follow.Anywhere(g.from)
		g.reading = true
		g.listen()
	})
}

func (g *gateway) crash(length int64) {
	if !g.alive {
		return
	}
	g.w.say("%s is killed", g.name)
	g.die()
	g.w.after(length, g.boot)
}

// listen brings outcomes to those who wait for them.
func (g *gateway) listen() {
	g.w.broker.fetch(&g.process, g.w.broker.outcomes, g.from, 1_000, func(f fetched) {
		g.from += int64(len(f.records))
		for _, r := range f.records {
			o, fresh, err := g.cursor.Accept(r.Offset, r.Value)
			if err != nil {
				g.w.fail("%s cannot read outcomes: %v", g.name, err)
			}
			if fresh && o.Index == 0 && o.Command != (wire.ID{}) {
				g.hand(o)
			}
		}
		g.listen()
	})
}

func (g *gateway) hand(o wire.Outcome) {
	all := g.waiters[o.Command]
	if all == nil {
		return
	}
	var stay []*call
	for _, k := range all {
		switch {
		case k.over:
		case answer.Answers(&o, k.notAfter):
			k.over = true
			g.w.crowd.answered(k.c, k.notAfter, o)
		default:
			stay = append(stay, k)
		}
	}
	if delete(g.waiters, o.Command); stay != nil {
		g.waiters[o.Command] = stay
	}
}

// ask sends a command and waits for its outcome.
func (g *gateway) ask(c *command) {
	now, _ := g.room()
	grain := g.w.shape.grain
	until := (now + c.life) / grain * grain
	for slices.Contains(c.denied, until) {
		until += grain
	}
	if !g.reading {
		g.w.crowd.told(c, until, answer.FateOf(answer.ErrNotReady), false)
		return
	}
	c.head.NotAfter = until
	k := &call{c: c, notAfter: until, value: wire.AppendRecord(nil, c.head, c.body)}
	g.waiters[c.head.Command] = append(g.waiters[c.head.Command], k)
	g.enqueue(k)
	g.after(answerWait, func() { g.giveUp(k) })
}

// giveUp answers a caller whose time is over.
func (g *gateway) giveUp(k *call) {
	switch {
	case k.over:
	case k.acked:
		g.settle(k, answer.ErrNoAnswer)
	case k.flying || k.doubt:
		g.settle(k, errUnknown)
	default:
		g.settle(k, errNotAppended)
	}
}

// settle tells a caller what an error means.
func (g *gateway) settle(k *call, err error) {
	if k.over || k.c == nil {
		return
	}
	k.over = true
	g.w.crowd.told(k.c, k.notAfter, answer.FateOf(err), false)
}

func (g *gateway) enqueue(k *call) {
	g.queue = append(g.queue, k)
	g.send(backoffFirst / 10)
}

// send appends what has queued up in one call, and tries again what may have failed: never after its not-after, and not
// for a caller who has gone.
func (g *gateway) send(wait int64) {
	if g.flying {
		return
	}
	now, _ := g.room()
	var batch []*call
	var values [][]byte
	for len(g.queue) > 0 && len(batch) < laneMost {
		k := g.queue[0]
		g.queue = g.queue[1:]
		switch {
		case k.c != nil && k.over:
			continue
		case k.notAfter != 0 && now > k.notAfter && k.doubt:
			g.settle(k, errUnknown)
			continue
		case k.notAfter != 0 && now > k.notAfter:
			g.settle(k, eventlog.ErrExpired)
			continue
		}
		k.flying = true
		batch, values = append(batch, k), append(values, k.value)
	}
	if len(batch) == 0 {
		return
	}
	g.flying = true
	g.w.broker.produce(&g.process, g.w.broker.log, values, func(base int64, err error) {
		for i, k := range batch {
			k.flying = false
			k.acked = k.acked || err == nil
			k.doubt = k.doubt || err != nil && !errors.Is(err, eventlog.ErrNotAppended)
			if err == nil {
				g.w.commands++
				g.w.crowd.acked(base+int64(i), k)
			}
		}
		if err == nil {
			g.flying = false
			g.send(backoffFirst / 10)
			return
		}
		g.queue = append(batch, g.queue...)
		g.after(wait/2+g.w.Int64N(wait), func() {
			g.flying = false
			g.send(min(2*wait, backoffFirst))
		})
	})
}

// lookUp answers who asks what became of a command.
func (g *gateway) lookUp(c *command, until int64) {
	var row commandRow
	var known bool
	var logTime int64
	pg := g.w.postgres
	pg.call(&g.process, nil, func() {
		row, known = pg.rows[key{table: tableCommand, id: c.head.Command}].(commandRow)
		logTime = pg.projected().LogTime
	}, func(err error) {
		switch {
		case err != nil:
			g.w.crowd.told(c, until, answer.Pending, true)
		case known:
			g.w.crowd.found(c, until, row)
		default:
			g.w.crowd.told(c, until, answer.FateAt(until, logTime), true)
		}
	})
}
