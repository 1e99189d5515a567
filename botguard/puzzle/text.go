package puzzle

import (
	"encoding/binary"
	"fmt"
)

// nonceDigits is the length of a nonce as text.
const nonceDigits = 16

const hexDigits = "0123456789abcdef"

// FormatNonces writes a solution as clients see it: one string of 16 lower-case hex digits for each nonce, most
// significant digit first. (A JSON number loses precision above 2^53.) Bytes beyond the last whole nonce are ignored.
func FormatNonces(solution []byte) []string {
	out := make([]string, 0, len(solution)/NonceSize)
	for i := range len(solution) / NonceSize {
		n := nonceAt(solution, i)
		var b [nonceDigits]byte
		for d := range b {
			b[d] = hexDigits[n>>(60-4*d)&15]
		}
		out = append(out, string(b[:]))
	}
	return out
}

// ParseNonces reads what FormatNonces writes and nothing else: ErrLength for a wrong count, ErrNonce for a wrong length
// or character.
func ParseNonces(p Params, nonces []string) ([]byte, error) {
	if p.SubPuzzles > MaxSubPuzzles || len(nonces) != int(p.SubPuzzles) {
		return nil, fmt.Errorf("%w: %d nonces, expected %d", ErrLength, len(nonces), p.SubPuzzles)
	}
	out := make([]byte, 0, p.Size())
	for i, s := range nonces {
		if len(s) != nonceDigits {
			return nil, fmt.Errorf("%w: number %d, expected %d hex digits", ErrNonce, i, nonceDigits)
		}
		var n uint64
		for _, c := range []byte(s) {
			v, ok := hexValue(c)
			if !ok {
				return nil, fmt.Errorf("%w: number %d, expected lower-case hex digits", ErrNonce, i)
			}
			n = n<<4 | v
		}
		out = binary.LittleEndian.AppendUint64(out, n)
	}
	return out, nil
}

func hexValue(c byte) (uint64, bool) {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0'), true
	case c >= 'a' && c <= 'f':
		return uint64(c-'a') + 10, true
	}
	return 0, false
}
