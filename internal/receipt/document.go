package receipt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"fairgate/internal/wire"
)

// MaxDocument is the longest file that Read takes, in bytes.
const MaxDocument = 64 << 10

// Head is the head of a log's SHA-256 chain at a tick: it closes over every record up to and including the tick's, and
// so over a booking before it.
type Head struct {
	Offset int64     // of the tick
	Chain  wire.Hash // the chain after that record
	Seq    uint64    // number of the tick's outcome
	At     int64     // log time, µs
}

type headForm struct {
	Offset        int64     `json:"offset"`
	Head          string    `json:"head"` // SHA-256, hex
	OutcomeNumber uint64    `json:"outcomeNumber"`
	At            time.Time `json:"at"`
}

// MarshalJSON writes the hash in hex and the time as RFC 3339.
func (h Head) MarshalJSON() ([]byte, error) {
	return json.Marshal(headForm{h.Offset, hex.EncodeToString(h.Chain[:]), h.Seq, time.UnixMicro(h.At).UTC()})
}

// UnmarshalJSON reads what MarshalJSON wrote. ErrMalformed, wrapped.
func (h *Head) UnmarshalJSON(b []byte) error {
	var f headForm
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%w: chain: %w", ErrMalformed, err)
	}
	chain, err := hex.DecodeString(f.Head)
	if err != nil || len(chain) != len(h.Chain) || f.Offset < 0 {
		return fmt.Errorf("%w: chain", ErrMalformed)
	}
	*h = Head{Offset: f.Offset, Chain: wire.Hash(chain), Seq: f.OutcomeNumber, At: f.At.UnixMicro()}
	return nil
}

// Document is what a fan downloads: the receipt, and the head that closes over it, nil before the next tick.
type Document struct {
	Receipt Signed `json:"receipt"`
	Closed  bool   `json:"closed"` // the chain is there
	Chain   *Head  `json:"chain"`
}

// Read reads a receipt in any form in which a fan may have kept it: the document, the receipt's own JSON, a booking's
// answer that holds it, or the text. ErrMalformed, wrapped.
func Read(b []byte) (Document, error) {
	b = bytes.TrimSpace(b)
	if len(b) > MaxDocument {
		return Document{}, fmt.Errorf("%w: more than %d bytes", ErrMalformed, MaxDocument)
	}
	if len(b) == 0 || b[0] != '{' {
		s, err := ParseText(string(b))
		return Document{Receipt: s}, err
	}
	var parts struct {
		Receipt json.RawMessage `json:"receipt"`
		Chain   *Head           `json:"chain"`
	}
	if err := json.Unmarshal(b, &parts); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if parts.Receipt == nil {
		parts.Receipt = b
	}
	d := Document{Chain: parts.Chain, Closed: parts.Chain != nil}
	return d, d.Receipt.UnmarshalJSON(parts.Receipt)
}
