// Package wire holds every byte that outlives a process: records and outcomes of both logs, token layouts, the hash
// chain, topic names and Redis keys. It imports the standard library, xxhash and internal/sale, and touches nothing.
//
// All layouts are little-endian, fixed for a version byte, and held by golden bytes in testdata. A decoder accepts
// exactly what the encoder writes: wrong length, unknown version, or a set reserved bit is an error, never a panic.
// Byte slices in a decoded value point into the buffer it was decoded from.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the layout version that this code writes.
const Version = 1

// ID is a 128-bit id: command, booking, token, pass, visitor or user key.
type ID = [16]byte

// Hash is a SHA-256 value.
type Hash = [32]byte

// Errors of every decoder here; errors.Is finds them under the detail.
var (
	ErrShort   = errors.New("wire: too short")
	ErrLong    = errors.New("wire: bytes left over")
	ErrVersion = errors.New("wire: unknown version")
	ErrKind    = errors.New("wire: unknown kind")
	ErrValue   = errors.New("wire: value out of range")
)

// Body is the part of a record or outcome that its kind decides. Each body lists its fields once, in order, for both
// directions.
type Body interface {
	// Kind is the byte that names the body in its header.
	Kind() Kind
	fields(c *coder)
}

// Kind names a body. Records and outcomes number theirs apart.
type Kind uint8

// coder walks the fields of a body: it appends them to buf, or reads them from it.
type coder struct {
	buf    []byte
	err    error
	decode bool
}

func (c *coder) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.buf = nil
}

// take returns the next n bytes while decoding, or nil when they are missing.
func (c *coder) take(n int) []byte {
	if c.err != nil || len(c.buf) < n {
		c.fail(ErrShort)
		return nil
	}
	b := c.buf[:n]
	c.buf = c.buf[n:]
	return b
}

func (c *coder) u8(v *uint8) {
	if !c.decode {
		c.buf = append(c.buf, *v)
	} else if b := c.take(1); b != nil {
		*v = b[0]
	}
}

// flag is a byte that must be 0 or 1.
func (c *coder) flag(v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	c.u8(&b)
	if c.decode {
		if b > 1 {
			c.fail(ErrValue)
		}
		*v = b == 1
	}
}

func (c *coder) u16(v *uint16) {
	if !c.decode {
		c.buf = binary.LittleEndian.AppendUint16(c.buf, *v)
	} else if b := c.take(2); b != nil {
		*v = binary.LittleEndian.Uint16(b)
	}
}

func (c *coder) u32(v *uint32) {
	if !c.decode {
		c.buf = binary.LittleEndian.AppendUint32(c.buf, *v)
	} else if b := c.take(4); b != nil {
		*v = binary.LittleEndian.Uint32(b)
	}
}

func (c *coder) u64(v *uint64) {
	if !c.decode {
		c.buf = binary.LittleEndian.AppendUint64(c.buf, *v)
	} else if b := c.take(8); b != nil {
		*v = binary.LittleEndian.Uint64(b)
	}
}

func (c *coder) i32(v *int32) {
	u := uint32(*v)
	c.u32(&u)
	*v = int32(u)
}

func (c *coder) i64(v *int64) {
	u := uint64(*v)
	c.u64(&u)
	*v = int64(u)
}

func (c *coder) fixed(v []byte) {
	if !c.decode {
		c.buf = append(c.buf, v...)
	} else if b := c.take(len(v)); b != nil {
		copy(v, b)
	}
}

func (c *coder) id(v *ID)     { c.fixed(v[:]) }
func (c *coder) hash(v *Hash) { c.fixed(v[:]) }

// bytes is a run of at most 255 bytes behind its length.
func (c *coder) bytes(v *[]byte) {
	n := uint8(min(len(*v), 255))
	c.u8(&n)
	if !c.decode {
		c.buf = append(c.buf, (*v)[:n]...)
		return
	}
	*v = c.take(int(n))
}

// list is a run of at most most elements behind its count.
func list[T any](c *coder, v *[]T, most int, each func(c *coder, t *T)) {
	n := uint16(min(len(*v), most))
	c.u16(&n)
	if c.decode {
		if int(n) > most {
			c.fail(fmt.Errorf("%w: %d elements, at most %d", ErrValue, n, most))
		}
		// The count is bounded, so a hostile one cannot make us allocate much.
		if c.err != nil {
			return
		}
		if cap(*v) >= int(n) {
			*v = (*v)[:n]
			clear(*v)
		} else {
			*v = make([]T, n)
		}
	}
	for i := range (*v)[:n] {
		each(c, &(*v)[i])
	}
}

// append encodes a body behind dst. The coder belongs to the caller, who may keep it: a body's method could hold on to
// it, so one made here would be allocated each time.
func (c *coder) append(dst []byte, b Body) []byte {
	if done, ok := appendHot(dst, b); ok {
		return done
	}
	*c = coder{buf: dst}
	b.fields(c)
	dst = c.buf
	c.buf = nil
	return dst
}

func appendBody(dst []byte, b Body) []byte { return new(coder).append(dst, b) }

// decodeBody fills b from exactly the bytes given.
func decodeBody(b Body, from []byte) error {
	if decodeHot(b, from) {
		return nil
	}
	c := coder{buf: from, decode: true}
	b.fields(&c)
	return c.end()
}

// end is what went wrong while decoding; bytes that are left over are wrong too.
func (c *coder) end() error {
	if c.err == nil && len(c.buf) != 0 {
		c.err = ErrLong
	}
	return c.err
}
