package wire

import (
	"bytes"
	"reflect"
	"testing"
)

func someReceipt() Receipt {
	var n uint64
	var r Receipt
	fill(reflect.ValueOf(&r), &n)
	r.Topic, r.Outcome = []byte("orders"), KindHeld
	return r
}

func TestReceipt_GoldenBytesAndRoundTrip(t *testing.T) {
	r := someReceipt()
	b := append(AppendReceipt(nil, &r), bytes.Repeat([]byte{0x5a}, ReceiptSignature)...)
	golden(t, "receipt", b)
	got, signed, signature, err := ParseReceipt(b)
	if err != nil || !reflect.DeepEqual(got, r) || len(signature) != ReceiptSignature || !bytes.Equal(append(signed, signature...), b) {
		t.Fatalf("%+v %v", got, err)
	}
	long := r
	long.Topic = bytes.Repeat([]byte("t"), MaxTopic)
	if n := len(AppendReceipt(nil, &long)) + ReceiptSignature; n != MaxReceipt {
		t.Errorf("the longest receipt has %d bytes, MaxReceipt is %d", n, MaxReceipt)
	}
}

func TestReceipt_EveryTruncationAndExtensionIsAnError(t *testing.T) {
	r := someReceipt()
	b := append(AppendReceipt(nil, &r), make([]byte, ReceiptSignature)...)
	for cut := range b {
		if _, _, _, err := ParseReceipt(b[:cut]); err == nil {
			t.Errorf("%d of %d bytes were accepted", cut, len(b))
		}
	}
	if _, _, _, err := ParseReceipt(append(b, 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
}

func TestReceipt_ValuesThatNoReceiptHasAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Receipt){
		"key": func(r *Receipt) { r.KeyID = 0 }, "topic": func(r *Receipt) { r.Topic = nil },
		"partition": func(r *Receipt) { r.Partition = -1 }, "offset": func(r *Receipt) { r.Offset = -1 },
		"event": func(r *Receipt) { r.Event = 0 }, "outcome": func(r *Receipt) { r.Outcome = KindRefused },
		"seq": func(r *Receipt) { r.Seq = 0 }, "at": func(r *Receipt) { r.At = -1 },
		"long topic": func(r *Receipt) { r.Topic = bytes.Repeat([]byte("t"), MaxTopic+1) },
	} {
		r := someReceipt()
		spoil(&r)
		if _, _, _, err := ParseReceipt(append(AppendReceipt(nil, &r), make([]byte, ReceiptSignature)...)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzParseReceipt(f *testing.F) {
	r := someReceipt()
	f.Add(append(AppendReceipt(nil, &r), make([]byte, ReceiptSignature)...))
	f.Add([]byte{Version, 'R'})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, signed, signature, err := ParseReceipt(b)
		if err != nil {
			return
		}
		if again := append(AppendReceipt(nil, &r), signature...); !bytes.Equal(again, b) || len(signed)+len(signature) != len(b) {
			t.Errorf("two encodings of one receipt:\n%x\n%x", b, again)
		}
	})
}

func TestDump_GoldenBytes(t *testing.T) {
	b := AppendDumped(AppendDumped([]byte(DumpHeader), []byte("one")), nil)
	golden(t, "dump", b)
	if n, err := DumpedSize(b[len(DumpHeader):]); n != 3 || err != nil {
		t.Error(n, err)
	}
	for _, bad := range [][]byte{nil, {1, 2, 3}, {0xff, 0xff, 0xff, 0xff}} {
		if _, err := DumpedSize(bad); err == nil {
			t.Errorf("%x was accepted", bad)
		}
	}
}
