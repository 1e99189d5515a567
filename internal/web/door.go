package web

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of the door.
const (
	maxRefusing   = 64 // connections being told that there is no room; further ones are closed without a word
	minAcceptWait = 5 * time.Millisecond
	maxAcceptWait = time.Second
)

// door is a listener that lets in at most so many connections and tells the others to come back. It knows every
// connection it let in, so that a drain can end.
type door struct {
	net.Listener
	server   *Server
	gauge    prometheus.Gauge
	refusing chan struct{}
	closed   chan struct{}
	once     sync.Once
	owner    sync.WaitGroup // of refusals

	mu     sync.Mutex
	inside map[*visitor]struct{}
}

// newDoor puts a door before a listener.
func newDoor(ln net.Listener, s *Server) *door {
	return &door{
		Listener: ln, server: s, gauge: s.open.WithLabelValues(s.deps.Role),
		refusing: make(chan struct{}, maxRefusing), closed: make(chan struct{}),
		inside: make(map[*visitor]struct{}),
	}
}

// Accept returns the next connection for which there is room. It outlives a lack of file descriptors, which would
// otherwise end the server.
func (d *door) Accept() (net.Conn, error) {
	wait := minAcceptWait
	for {
		c, err := d.Listener.Accept()
		if err != nil && passing(err) && d.sleep(wait) {
			wait = min(2*wait, maxAcceptWait)
			continue
		}
		if err != nil {
			return nil, err
		}
		wait = minAcceptWait
		if v, ok := d.admit(c); ok {
			return v, nil
		}
		d.refuse(c)
	}
}

// passing reports whether an accept may succeed later.
func passing(err error) bool {
	for _, temporary := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return false
}

// sleep waits unless the door shuts meanwhile.
func (d *door) sleep(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.closed:
		return false
	}
}

// admit takes a connection in if there is room.
func (d *door) admit(c net.Conn) (*visitor, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.inside) >= d.server.config.MaxConns {
		return nil, false
	}
	v := &visitor{timed: timed{Conn: c}, door: d}
	d.inside[v] = struct{}{}
	d.gauge.Inc()
	return v, true
}

// leave forgets a connection.
func (d *door) leave(v *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.inside, v)
	d.gauge.Dec()
}

// refuse tells a connection that there is no room, without keeping the next one waiting.
func (d *door) refuse(c net.Conn) {
	d.server.refused.WithLabelValues(d.server.deps.Role, "connections").Inc()
	select {
	case d.refusing <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	p := d.server.overloaded()
	d.owner.Go(func() {
		defer func() { <-d.refusing }()
		body := p.document()
		_ = c.SetDeadline(time.Now().Add(lingerTime))
		_, _ = fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nCache-Control: no-store\r\n"+
			"Retry-After: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			seconds(p.RetryAfter), typeProblem, len(body), body)
		linger(c)
	})
}

// Close closes the listener, once: fasthttp and Serve both do.
func (d *door) Close() error {
	var err error
	d.once.Do(func() {
		close(d.closed)
		err = d.Listener.Close()
	})
	return err
}

// shut closes the door and waits for refusals under way.
func (d *door) shut() error {
	err := d.Close()
	d.owner.Wait()
	return err
}

// cut closes every connection and returns how many there were.
func (d *door) cut() int {
	d.mu.Lock()
	visitors := make([]*visitor, 0, len(d.inside))
	for v := range d.inside {
		visitors = append(visitors, v)
	}
	d.mu.Unlock()
	for _, v := range visitors {
		v.linger.Store(false)
		_ = v.Close()
	}
	return len(visitors)
}

// visitor is a connection that the door let in.
type visitor struct {
	timed
	door   *door
	linger atomic.Bool // read on a little before closing
	once   sync.Once
}

// Close gives the place back, once.
func (v *visitor) Close() error {
	var err error
	v.once.Do(func() {
		if v.linger.Load() {
			_ = v.Conn.SetDeadline(time.Now().Add(lingerTime)) // linger reads past timed
			err = linger(v.Conn)
		} else {
			err = v.Conn.Close()
		}
		v.door.leave(v)
	})
	return err
}

// linger says that nothing more comes, reads what is still under way within the connection's deadline, and closes.
// Closing at once would answer unread bytes with a reset, and the client might never see the answer.
func linger(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, c, lingerBytes)
	}
	return c.Close()
}
