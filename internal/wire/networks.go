package wire

import (
	"encoding/binary"
	"fmt"
)

// MaxNetworks is how many networks one Networks tells of.
const MaxNetworks = 16_384

// networkSize is the length of one entry, in bytes.
const networkSize = 12

// maxNetwork is the highest count that an entry holds.
const maxNetwork = 1<<30 - 1

// Span says what kind of network an entry is; an edge has to know only that keys of two spans are not alike.
type Span uint8

// Spans of networks.
const (
	SpanNarrow Span = 0 // IPv4 address, IPv6 /56
	SpanWide   Span = 1 // IPv4 /24, IPv6 /48
	SpanBroad  Span = 2 // IPv6 /32
	SpanOrigin Span = 3 // autonomous system
	Spans           = 4
)

// Network is one network with many places in line.
type Network struct {
	Span   Span
	Places uint32
	Key    uint64 // keyed hash, as in Join and Enlist
}

// Networks lists the networks of a room with the most places in line: what prices follow. It is published beside the queue
// document, in the same topic, for edges only. Layout: version u8, 'N', Room i64, Epoch u64, Offset i64, count u32, then
// per network u32 (span in the two high bits, places below) and key u64. A queue document is JSON, so their first bytes
// tell the two apart.
type Networks struct {
	Room   int64
	Epoch  uint64
	Offset int64 // of the tick it was made at, as in the document
	List   []Network
}

// IsNetworks says that a value of the topic of documents is no document but a Networks.
func IsNetworks(b []byte) bool { return len(b) >= 2 && b[0] == Version && b[1] == 'N' }

// AppendNetworks appends the layout. Networks beyond MaxNetworks are left out, and counts that do not fit are the highest that
// do.
func AppendNetworks(dst []byte, c *Networks) []byte {
	list := c.List[:min(len(c.List), MaxNetworks)]
	dst = append(dst, Version, 'N')
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Room))
	dst = binary.LittleEndian.AppendUint64(dst, c.Epoch)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(c.Offset))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(list)))
	for i := range list {
		e := &list[i]
		dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Span)<<30|min(e.Places, maxNetwork))
		dst = binary.LittleEndian.AppendUint64(dst, e.Key)
	}
	return dst
}

// ParseNetworks reads the layout; its error wraps ErrShort, ErrLong, ErrVersion, ErrKind or ErrValue.
func ParseNetworks(b []byte) (c Networks, err error) {
	const header = 2 + 8 + 8 + 8 + 4
	switch {
	case len(b) < header:
		return c, fmt.Errorf("networks: %w", ErrShort)
	case b[0] != Version:
		return c, fmt.Errorf("networks of version %d: %w", b[0], ErrVersion)
	case b[1] != 'N':
		return c, fmt.Errorf("networks: %w", ErrKind)
	}
	c.Room = int64(binary.LittleEndian.Uint64(b[2:]))
	c.Epoch = binary.LittleEndian.Uint64(b[10:])
	c.Offset = int64(binary.LittleEndian.Uint64(b[18:]))
	n := binary.LittleEndian.Uint32(b[26:])
	b = b[header:]
	switch {
	case n > MaxNetworks || c.Room <= 0:
		return c, fmt.Errorf("networks of room %d, %d of them: %w", c.Room, n, ErrValue)
	case len(b) < int(n)*networkSize:
		return c, fmt.Errorf("networks: %w", ErrShort)
	case len(b) > int(n)*networkSize:
		return c, fmt.Errorf("networks: %w", ErrLong)
	}
	c.List = make([]Network, n)
	for i := range c.List {
		word := binary.LittleEndian.Uint32(b)
		c.List[i] = Network{Span: Span(word >> 30), Places: word & maxNetwork, Key: binary.LittleEndian.Uint64(b[4:])}
		b = b[networkSize:]
	}
	return c, nil
}
