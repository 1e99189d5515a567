package wire

import (
	"encoding/binary"
	"fmt"
)

// DumpHeader opens the file of a dump: one partition of one topic. Behind it are the records in order, each its length as
// u32 and its bytes.
const DumpHeader = "fairgate log\x01\x00\x00\x00"

// MaxDumped is the longest record of a dump, in bytes: what a broker takes at most.
const MaxDumped = 1 << 20

// AppendDumped appends a record to a dump.
func AppendDumped(dst, record []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(record)))
	return append(dst, record...)
}

// DumpedSize reads the length before a record from its 4 bytes: ErrShort, or ErrValue above MaxDumped, wrapped.
func DumpedSize(b []byte) (int, error) {
	if len(b) < 4 {
		return 0, fmt.Errorf("dumped record: %w", ErrShort)
	}
	n := binary.LittleEndian.Uint32(b)
	if n > MaxDumped {
		return 0, fmt.Errorf("dumped record of %d bytes: %w", n, ErrValue)
	}
	return int(n), nil
}
