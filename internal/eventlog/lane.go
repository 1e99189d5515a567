package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
)

// lane is one partition of a Producer and the goroutine that serves it.
type lane struct {
	log       *Log
	producer  *Producer
	topic     string
	partition int32
	queue     chan *entry
	bytes     atomic.Int64  // of values in queue
	done      chan struct{} // closed when run has returned

	// Only run touches these.
	batch  []*entry
	size   int
	carry  *entry // taken from the queue, did not fit into the batch
	broken bool   // the last call failed
	shown  int    // what the gauge counts of this queue
}

func newLane(p *Producer, partition int32) *lane {
	return &lane{
		log: p.log, producer: p, topic: p.topic, partition: partition,
		queue: make(chan *entry, p.log.cfg.QueueRecords),
		done:  make(chan struct{}),
		batch: make([]*entry, 0, MaxBatchRecords),
	}
}

// run sends until the Log stops and the queue is empty. When Close gives up,
// what is left is failed rather than sent.
func (la *lane) run() {
	defer close(la.done)
	for {
		first := la.carry
		la.carry = nil
		if first == nil {
			first = la.next()
		}
		if first == nil {
			la.gauge()
			return
		}
		la.collect(first)
		la.gauge()
		la.send()
		clear(la.batch)
		la.batch = la.batch[:0]
	}
}

// next waits for a record; nil means that there will be none.
func (la *lane) next() *entry {
	select {
	case e := <-la.queue:
		la.bytes.Add(-int64(len(e.value)))
		return e
	default:
	}
	select {
	case e := <-la.queue:
		la.bytes.Add(-int64(len(e.value)))
		return e
	case <-la.log.stop:
		return la.last()
	}
}

// last is next once the Log is stopping. Only a sealed producer's empty queue
// stays empty.
func (la *lane) last() *entry {
	la.producer.seal()
	select {
	case e := <-la.queue:
		la.bytes.Add(-int64(len(e.value)))
		return e
	default:
		return nil
	}
}

// collect takes what has queued up, within the limits of one call.
func (la *lane) collect(first *entry) {
	la.batch = append(la.batch, first)
	la.size = len(first.value) + recordOverhead
	for len(la.batch) < MaxBatchRecords {
		select {
		case e := <-la.queue:
			la.bytes.Add(-int64(len(e.value)))
			n := len(e.value) + recordOverhead
			if la.size+n > MaxBatchBytes {
				la.carry = e
				return
			}
			la.batch = append(la.batch, e)
			la.size += n
		default:
			return
		}
	}
}

// send tries the batch until each record of it is acknowledged, refused,
// expired or abandoned. Nothing is added to it between tries, so records keep
// their order. A process that dies here leaves records of unknown fate, as
// after any timeout: whoever sent them asks again with the same command id.
func (la *lane) send() {
	for wait := backoffFirst; ; wait = min(2*wait, backoffLast) {
		values := la.launch()
		if len(values) == 0 {
			return
		}
		base, f, err := la.log.produce(la.log.ctx, la.topic, la.partition, values, la.size)
		la.report(err)
		if err == nil {
			for i, e := range la.batch {
				e.finish(base+int64(i), nil)
			}
			return
		}
		la.land(f, err)
		if f != forbidden {
			sleep(la.log.ctx, wait/2+rand.N(wait))
		}
	}
}

// launch drops the records that must not be sent (again) and marks the rest
// as in flight. The slice it returns is the client's to keep.
func (la *lane) launch() [][]byte {
	now := la.log.now()
	closed := la.log.ctx.Err() != nil
	values := make([][]byte, 0, len(la.batch))
	keep := la.batch[:0]
	la.size = 0
	for _, e := range la.batch {
		switch {
		case e.state.Load() == abandoned:
			continue
		case closed:
			e.giveUp(ErrClosed)
			continue
		case !e.notAfter.IsZero() && now.After(e.notAfter):
			e.giveUp(ErrExpired)
			continue
		}
		from := waiting
		if e.doubt {
			from = doubtful
		}
		if !e.state.CompareAndSwap(from, flying) {
			continue
		}
		keep = append(keep, e)
		values = append(values, e.value)
		la.size += len(e.value) + recordOverhead
	}
	la.batch = keep
	return values
}

// giveUp ends a record that will not be sent again.
func (e *entry) giveUp(cause error) {
	if e.doubt {
		cause = fmt.Errorf("%w: gave up trying again: %s", ErrUnknown, cause)
	}
	e.finish(0, cause)
}

// land moves the records of a failed call back to wait for the next try, or
// ends them if there must be none.
func (la *lane) land(f fate, err error) {
	for _, e := range la.batch {
		if f == forbidden {
			if e.doubt { // an earlier try may have landed
				e.finish(0, failed(unknown, err))
			} else {
				e.finish(0, failed(forbidden, err))
			}
			continue
		}
		e.doubt = e.doubt || f == unknown
		to := waiting
		if e.doubt {
			to = doubtful
		}
		e.state.CompareAndSwap(flying, to)
	}
	if f == forbidden {
		la.batch = la.batch[:0]
	}
}

func (la *lane) gauge() {
	n := len(la.queue)
	la.log.metrics.queued.WithLabelValues(la.topic).Add(float64(n - la.shown))
	la.shown = n
}

// report logs the first failure of a streak and its end.
func (la *lane) report(err error) {
	if err == nil && la.broken {
		la.broken = false
		la.log.log.Info("appending to kafka works again", la.where()...)
	}
	if err != nil && !la.broken && !errors.Is(err, errSealed) {
		la.broken = true
		la.log.log.Warn("appending to kafka fails, trying again", append(la.where(), slog.Any("error", err))...)
	}
}

func (la *lane) where() []any {
	return []any{slog.String("topic", la.topic), slog.Int("partition", int(la.partition))}
}
