package wire

import (
	"bytes"
	"reflect"
	"testing"
)

// walked encodes and decodes by the list of fields alone.
func walked(b Body) []byte {
	var c coder
	b.fields(&c)
	return c.buf
}

func walkInto(b Body, from []byte) error {
	c := coder{buf: from, decode: true}
	b.fields(&c)
	if c.err == nil && len(c.buf) != 0 {
		c.err = ErrLong
	}
	return c.err
}

// The kinds that hot.go reads, and those that it writes.
var hotRead = []func() Body{
	func() Body { return new(Hold) }, func() Body { return new(Authorised) }, func() Body { return new(PaymentStarted) },
	func() Body { return new(Cancel) }, func() Body { return new(Tick) }, func() Body { return new(Join) }, func() Body { return new(Enlist) },
	func() Body { return new(AuthorisedBy) }, func() Body { return new(Joined) },
}

var hotWritten = []func() Body{
	func() Body { return new(Held) }, func() Body { return new(Confirmed) }, func() Body { return new(Refused) },
	func() Body { return new(Cancelled) }, func() Body { return new(Lapsed) }, func() Body { return new(PaymentBegun) },
	func() Body { return new(Repeated) }, func() Body { return new(AlreadyHeld) }, func() Body { return new(Closed) },
	func() Body { return new(Joined) }, func() Body { return new(Enlist) },
}

func TestHot_KnowsTheKindsThatItIsFor(t *testing.T) {
	for _, make := range hotWritten {
		if _, ok := appendHot(nil, make()); !ok {
			t.Errorf("%T is not written out", make())
		}
	}
	for _, make := range hotRead {
		if b := make(); !decodeHot(b, walked(b)) {
			t.Errorf("%T is not read", b)
		}
	}
}

// FuzzHot holds the written-out layouts against the lists of fields: whatever bytes decode by one decode by the other, to
// the same value, and whatever value encodes by one encodes by the other, to the same bytes.
func FuzzHot(f *testing.F) {
	for i, make := range append(append([]func() Body{}, hotRead...), hotWritten...) {
		b := make()
		var n uint64
		fill(reflect.ValueOf(b), &n)
		f.Add(byte(i), walked(b))
		f.Add(byte(i), walked(make()))
	}
	f.Fuzz(func(t *testing.T, kind byte, raw []byte) {
		makers := append(append([]func() Body{}, hotRead...), hotWritten...)
		make := makers[int(kind)%len(makers)]
		hot, plain := make(), make()
		err := walkInto(plain, raw)
		if decodeHot(hot, raw) {
			if err != nil || !reflect.DeepEqual(hot, plain) {
				t.Fatalf("%x is %+v, by its fields %+v: %v", raw, hot, plain, err)
			}
		} else if again := decodeBody(hot, raw); (again == nil) != (err == nil) {
			t.Fatalf("%x: %v, by its fields %v", raw, again, err)
		}
		if err != nil {
			return
		}
		if got, ok := appendHot([]byte("before"), plain); ok && !bytes.Equal(got[6:], walked(plain)) {
			t.Fatalf("%+v is written %x, by its fields %x", plain, got[6:], walked(plain))
		}
	})
}

func TestHot_PlacesAreWrittenAsTheirFieldsSay(t *testing.T) {
	var p Place
	n := uint64(0)
	for range 3 {
		fill(reflect.ValueOf(&p), &n)
		var c coder
		p.fields(&c)
		if got := p.append(nil); !bytes.Equal(got, c.buf) {
			t.Errorf("%+v is written %x, by its fields %x", p, got, c.buf)
		}
	}
}

func TestHot_ReusedMemoryLeavesNoTrace(t *testing.T) {
	var full, empty Held
	var n uint64
	fill(reflect.ValueOf(&full), &n)
	dirty := bytes.Repeat([]byte{0xff}, 4096)
	for _, b := range []Body{&full, &empty} {
		if got, _ := appendHot(dirty[:0], b); !bytes.Equal(got, walked(b)) {
			t.Errorf("%x, want %x", got, walked(b))
		}
	}
	o := Outcomes{buf: dirty[:0]}
	o.Begin(1, 2, Record{Object: 3})
	o.Add(&full)
	o.End()
	if p, err := ParseOutcome(o.At(0)); err != nil || p.Hash != NextHash(0, o.At(0)) {
		t.Fatal(p, err)
	}
}
