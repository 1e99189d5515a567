// Package receipt is what a fan keeps of a booking: it signs receipts, writes them for people and programs, and checks
// them against public keys. The layout that is signed is internal/wire's. It is pure and touches nothing: no clock, no
// randomness, no I/O.
//
// A receipt is deterministic. Which key signs follows from the booking's log time, and Ed25519 gives one signature for
// one message (RFC 8032), so every gateway answers with the same bytes, at once or years later.
package receipt

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

// ErrMalformed: this is not a receipt.
var ErrMalformed = errors.New("not a receipt")

// Signed is a receipt with its signature.
type Signed struct {
	wire.Receipt
	Signature [wire.ReceiptSignature]byte
}

// Bytes is the binary form: wire's layout, then the signature.
func (s Signed) Bytes() []byte {
	return append(wire.AppendReceipt(make([]byte, 0, wire.MaxReceipt), &s.Receipt), s.Signature[:]...)
}

// Text is the form to copy: Bytes in base64url without padding, one line.
func (s Signed) Text() string { return base64.RawURLEncoding.EncodeToString(s.Bytes()) }

// ParseText reads what Text wrote; white space around and within it, as a mail or a terminal may put there, does not
// matter. ErrMalformed, wrapped.
func ParseText(text string) (Signed, error) {
	text = strings.Join(strings.Fields(text), "")
	if len(text) > base64.RawURLEncoding.EncodedLen(wire.MaxReceipt) {
		return Signed{}, fmt.Errorf("%w: too long", ErrMalformed)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return Signed{}, fmt.Errorf("%w: expected base64url", ErrMalformed)
	}
	r, _, signature, err := wire.ParseReceipt(b)
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Signed{r, [wire.ReceiptSignature]byte(signature)}, nil
}

// Outcome is the name of what the log made of the booking: "held" or "waitlisted".
func Outcome(k wire.Kind) string {
	if k == wire.KindWaitlisted {
		return "waitlisted"
	}
	return "held"
}

// form is a receipt in JSON.
type form struct {
	Topic         string    `json:"topic"`
	TopicID       string    `json:"topicId"` // base64url, as Kafka's own tools print it
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"`
	RecordHash    string    `json:"recordHash"` // SHA-256, hex
	BookingID     sale.UUID `json:"bookingId"`
	EventID       int64     `json:"eventId"`
	Outcome       string    `json:"outcome"`
	OutcomeNumber uint64    `json:"outcomeNumber"`
	At            time.Time `json:"at"`
	KeyID         string    `json:"keyId"`
	Signature     string    `json:"signature"` // base64url
	Text          string    `json:"text"`
}

// MarshalJSON writes the facts, the signature and the form to copy.
func (s Signed) MarshalJSON() ([]byte, error) {
	return json.Marshal(form{
		Topic: string(s.Topic), TopicID: base64.RawURLEncoding.EncodeToString(s.TopicID[:]), Partition: s.Partition, Offset: s.Offset,
		RecordHash: hex.EncodeToString(s.Record[:]), BookingID: s.Booking, EventID: s.Event, Outcome: Outcome(s.Receipt.Outcome),
		OutcomeNumber: s.Seq, At: time.UnixMicro(s.At).UTC(), KeyID: keyName(s.KeyID),
		Signature: base64.RawURLEncoding.EncodeToString(s.Signature[:]), Text: s.Text(),
	})
}

// UnmarshalJSON reads what MarshalJSON wrote. The facts are read, and the form to copy must say the same: whoever changed
// one of them is found out. ErrMalformed, wrapped.
func (s *Signed) UnmarshalJSON(b []byte) error {
	var f form
	if err := json.Unmarshal(b, &f); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	got, err := f.signed()
	if err != nil {
		return err
	}
	if f.Text != "" && f.Text != got.Text() {
		return fmt.Errorf("%w: its members and its text differ", ErrMalformed)
	}
	*s = got
	return nil
}

func (f *form) signed() (s Signed, err error) {
	id, err := strconv.ParseUint(f.KeyID, 10, 32)
	if err != nil || keyName(uint32(id)) != f.KeyID {
		return s, fmt.Errorf("%w: keyId", ErrMalformed)
	}
	s.Receipt = wire.Receipt{
		KeyID: uint32(id), Topic: []byte(f.Topic), Partition: f.Partition, Offset: f.Offset, Booking: f.BookingID, Event: f.EventID,
		Seq: f.OutcomeNumber, At: f.At.UnixMicro(),
	}
	if !f.At.Equal(time.UnixMicro(s.At)) {
		return s, fmt.Errorf("%w: at", ErrMalformed)
	}
	switch f.Outcome {
	case "held":
		s.Receipt.Outcome = wire.KindHeld
	case "waitlisted":
		s.Receipt.Outcome = wire.KindWaitlisted
	}
	encoding := base64.RawURLEncoding.Strict()
	for _, v := range []struct {
		name   string
		into   []byte
		text   string
		decode func(string) ([]byte, error)
	}{
		{"topicId", s.TopicID[:], f.TopicID, encoding.DecodeString}, {"recordHash", s.Record[:], f.RecordHash, hex.DecodeString},
		{"signature", s.Signature[:], f.Signature, encoding.DecodeString},
	} {
		b, err := v.decode(v.text)
		if err != nil || len(b) != len(v.into) {
			return s, fmt.Errorf("%w: %s", ErrMalformed, v.name)
		}
		copy(v.into, b)
	}
	if err := s.Validate(); err != nil {
		return s, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}
