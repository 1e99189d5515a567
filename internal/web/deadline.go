package web

import (
	"net"
	"sync/atomic"
	"time"
)

// earlier is by what part of its span a deadline may come early: then a deadline that was set a moment ago does for the next
// request too. Three deadlines a request, each a timer of the runtime, cost a tenth of a small answer.
const earlier = 8

// deadline is one that a connection is asked to keep. It is set where it matters: before something is read or written.
type deadline struct {
	wanted atomic.Int64 // Unix nanoseconds; 0 for none
	span   atomic.Int64 // how far ahead it was when it was asked for
	armed  atomic.Int64 // what the connection was told last
}

// want notes a deadline. It says whether that must be set at once: none, and one that has passed, are meant for a read or
// write that is under way.
func (d *deadline) want(t time.Time) (now bool) {
	if t.IsZero() {
		d.wanted.Store(0)
		d.armed.Store(0)
		return true
	}
	span := time.Until(t)
	d.span.Store(int64(span))
	d.wanted.Store(t.UnixNano())
	if span <= 0 {
		d.armed.Store(t.UnixNano())
	}
	return span <= 0
}

// due is the deadline that must be set before a read or write, if one must.
func (d *deadline) due() (t time.Time, ok bool) {
	wanted, armed := d.wanted.Load(), d.armed.Load()
	if early := wanted - armed; wanted == 0 || early >= 0 && early <= d.span.Load()/earlier {
		return t, false
	}
	d.armed.Store(wanted)
	return time.Unix(0, wanted), true
}

// timed is a connection that sets its deadlines only when that changes something.
type timed struct {
	net.Conn
	read, write deadline
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *timed) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline ends reads that come after it, up to an eighth of the time early.
func (c *timed) SetReadDeadline(t time.Time) error {
	if c.read.want(t) {
		return c.Conn.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline ends writes likewise.
func (c *timed) SetWriteDeadline(t time.Time) error {
	if c.write.want(t) {
		return c.Conn.SetWriteDeadline(t)
	}
	return nil
}

// Read reads within the deadline.
func (c *timed) Read(b []byte) (int, error) {
	if t, ok := c.read.due(); ok {
		if err := c.Conn.SetReadDeadline(t); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// Write writes within the deadline.
func (c *timed) Write(b []byte) (int, error) {
	if t, ok := c.write.due(); ok {
		if err := c.Conn.SetWriteDeadline(t); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(b)
}
