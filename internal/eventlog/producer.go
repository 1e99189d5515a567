package eventlog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Producer appends to the partitions of one topic. Each partition has one
// goroutine that makes produce calls back to back, each with whatever has
// queued up meanwhile, so that batches grow with the load and never wait for
// a timer.
type Producer struct {
	log   *Log
	topic string

	mu     sync.RWMutex // guards lanes and closed; held while enqueuing
	lanes  map[int32]*lane
	closed bool
	pool   sync.Pool // of *entry, for Append
	asyncs sync.Pool // of *entry, for AppendAsync
}

// Producer returns the producer of topic, the same for every call. It is
// closed with the Log.
func (l *Log) Producer(topic string) *Producer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.producers[topic]; p != nil {
		return p
	}
	p := &Producer{log: l, topic: topic, lanes: make(map[int32]*lane), closed: l.closed}
	p.pool.New = func() any { return &entry{reply: make(chan result, 1)} }
	p.asyncs.New = func() any { return &entry{home: &p.asyncs} }
	l.producers[topic] = p
	return p
}

// Append sends value and waits until all in-sync replicas have it. It never
// begins a try after notAfter (zero: none); a try under way is waited for.
// It tries until then, until ctx ends or until the Log closes. The value must
// not be changed afterwards, whatever the result. Errors: ErrExpired, ErrFull,
// ErrTooLarge, ErrClosed, otherwise ErrNotAppended, or ErrUnknown if some try
// may have landed.
func (p *Producer) Append(ctx context.Context, partition int32, value []byte, notAfter time.Time) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, p.wrap(partition, failed(unsent, err))
	}
	e := p.pool.Get().(*entry)
	e.reset(value, notAfter)
	la, err := p.enqueue(partition, e)
	if err != nil {
		return 0, p.wrap(partition, err)
	}
	select {
	case r := <-e.reply:
		e.value = nil
		p.pool.Put(e)
		if r.err != nil {
			return 0, p.wrap(partition, r.err)
		}
		return r.offset, nil
	case <-ctx.Done():
		return e.abandon(ctx.Err(), p, partition)
	case <-la.done:
		return e.abandon(ErrClosed, p, partition)
	}
}

// AppendAsync is Append without the waiting: unless it returns an error, done
// is called exactly once, from the goroutine that serves the partition, and
// must not block.
func (p *Producer) AppendAsync(partition int32, value []byte, notAfter time.Time, done func(offset int64, err error)) error {
	e := p.asyncs.Get().(*entry)
	e.reset(value, notAfter)
	e.done = done
	if _, err := p.enqueue(partition, e); err != nil {
		e.recycle()
		return p.wrap(partition, err)
	}
	return nil
}

func (p *Producer) wrap(partition int32, err error) error {
	return fmt.Errorf("appending to %s/%d: %w", p.topic, partition, err)
}

func (p *Producer) enqueue(partition int32, e *entry) (*lane, error) {
	if len(e.value) > MaxValueBytes {
		return nil, fmt.Errorf("value of %d bytes (at most %d): %w", len(e.value), MaxValueBytes, ErrTooLarge)
	}
	if partition < 0 || partition >= MaxPartitions {
		return nil, fmt.Errorf("partition out of range (0 to %d): %w", MaxPartitions-1, ErrNotAppended)
	}
	la := p.lane(partition)
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return nil, ErrClosed
	}
	size := int64(len(e.value))
	if la.bytes.Add(size) <= p.log.cfg.QueueBytes {
		select {
		case la.queue <- e:
			return la, nil
		default:
		}
	}
	la.bytes.Add(-size)
	p.log.metrics.refused.WithLabelValues(p.topic).Inc()
	return nil, ErrFull
}

// lane finds or starts the lane of partition; nil once p is closed.
func (p *Producer) lane(partition int32) *lane {
	p.mu.RLock()
	la := p.lanes[partition]
	p.mu.RUnlock()
	if la != nil {
		return la
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	la = p.lanes[partition]
	if la == nil && !p.closed {
		la = newLane(p, partition)
		p.lanes[partition] = la
		go la.run()
	}
	return la
}

// seal refuses records from now on: what is in the queues then is all.
func (p *Producer) seal() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
}

// close ends the lanes once their queues are empty, or the Log's context.
func (p *Producer) close() {
	p.seal()
	p.mu.RLock()
	lanes := make([]*lane, 0, len(p.lanes))
	for _, la := range p.lanes {
		lanes = append(lanes, la)
	}
	p.mu.RUnlock()
	for _, la := range lanes {
		<-la.done
	}
}

type result struct {
	offset int64
	err    error
}

// The life of an entry. Its caller may abandon it at any point; its lane sees
// that when it next wants to move it on.
const (
	waiting   int32 = iota // in the queue, or between tries that surely failed
	flying                 // in a produce call
	doubtful               // between tries of which one may have landed
	abandoned              // nobody waits for it any more
)

// entry is one record on its way. Exactly one of reply and done is set.
type entry struct {
	value    []byte
	notAfter time.Time
	state    atomic.Int32
	doubt    bool // some try may have landed; the lane's alone
	reply    chan result
	done     func(int64, error)
	home     *sync.Pool // where it goes once done was called
}

func (e *entry) reset(value []byte, notAfter time.Time) {
	e.value, e.notAfter, e.doubt = value, notAfter, false
	e.state.Store(waiting)
}

// finish tells the caller. The entry is not the lane's any more.
func (e *entry) finish(offset int64, err error) {
	if done := e.done; done != nil {
		e.recycle()
		done(offset, err)
		return
	}
	e.reply <- result{offset, err}
}

func (e *entry) recycle() {
	e.value, e.done = nil, nil
	e.home.Put(e)
}

// abandon answers a caller that stops waiting. The entry is left to its lane
// and never pooled.
func (e *entry) abandon(cause error, p *Producer, partition int32) (int64, error) {
	was := e.state.Swap(abandoned)
	select {
	case r := <-e.reply: // the answer came meanwhile
		if r.err != nil {
			return 0, p.wrap(partition, r.err)
		}
		return r.offset, nil
	default:
	}
	if was == waiting {
		return 0, p.wrap(partition, failed(unsent, cause))
	}
	return 0, p.wrap(partition, failed(unknown, cause))
}
