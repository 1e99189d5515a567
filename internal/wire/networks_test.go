package wire

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestNetworks_GoldenBytesAndRoundTrip(t *testing.T) {
	c := Networks{Room: 7, Epoch: 3, Offset: 99, List: []Network{{SpanNarrow, 5, 1}, {SpanOrigin, maxNetwork, 1<<64 - 1}, {SpanWide, 0, 2}}}
	b := AppendNetworks(nil, &c)
	golden(t, "networks", b)
	got, err := ParseNetworks(b)
	if err != nil || !reflect.DeepEqual(got, c) || !IsNetworks(b) || IsNetworks([]byte("{}")) {
		t.Fatalf("%+v, %v", got, err)
	}
	for cut := range b {
		if _, err := ParseNetworks(b[:cut]); err == nil {
			t.Errorf("%d of %d bytes were accepted", cut, len(b))
		}
	}
	if _, err := ParseNetworks(append(b, 0)); !errors.Is(err, ErrLong) {
		t.Errorf("a byte too many: %v", err)
	}
	many := Networks{Room: 1, List: make([]Network, MaxNetworks+1)}
	many.List[0].Places = 1<<32 - 1
	if got, err := ParseNetworks(AppendNetworks(nil, &many)); err != nil || len(got.List) != MaxNetworks || got.List[0].Places != maxNetwork {
		t.Errorf("%d of too many: %v", len(got.List), err)
	}
}

func FuzzParseNetworks(f *testing.F) {
	f.Add(AppendNetworks(nil, &Networks{Room: 1, List: []Network{{SpanBroad, 9, 8}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseNetworks(b)
		if err == nil && !bytes.Equal(AppendNetworks(nil, &c), b) {
			t.Errorf("two encodings of one list:\n%x", b)
		}
	})
}
