package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write golden bytes anew: only for a layout that was never released")

// fill sets every field of a body to a value derived from a counter, so that no two fields look alike.
func fill(v reflect.Value, n *uint64) {
	switch v.Kind() {
	case reflect.Pointer:
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		for i := range 3 {
			fill(v.Index(i), n)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		*n++
		v.SetInt(int64(*n % 100))
	default:
		*n++
		v.SetUint(*n % 100)
	}
}

func kinds(t *testing.T) map[string]Body {
	t.Helper()
	all := map[string]Body{}
	for log, make := range map[string]func(Kind) Body{
		"orders": NewOrder, "queue": NewQueueRecord, "outcomes": NewOrderOutcome, "queue-outcomes": NewQueueOutcome,
	} {
		for k := range 256 {
			if b := make(Kind(k)); b != nil {
				if b.Kind() != Kind(k) {
					t.Fatalf("%s: kind %d makes a body of kind %d", log, k, b.Kind())
				}
				all[fmt.Sprintf("%s/%03d-%s", log, k, reflect.TypeOf(b).Elem().Name())] = b
			}
		}
	}
	return all
}

// golden holds bytes against the file that was written when the layout was fixed.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run with -update for a new layout", err)
	}
	if hex.EncodeToString(got) != strings.TrimSpace(string(want)) {
		t.Errorf("%s: the layout changed:\n got %x\nwant %s", name, got, want)
	}
}

func TestBodies_GoldenBytesAndRoundTrip(t *testing.T) {
	for name, body := range kinds(t) {
		var n uint64
		fill(reflect.ValueOf(body), &n)
		var b []byte
		again := reflect.New(reflect.TypeOf(body).Elem()).Interface().(Body)
		if strings.HasPrefix(name, "orders") || strings.HasPrefix(name, "queue/") {
			b = AppendRecord(nil, Record{Object: 7, Ref: ID{1}, Command: ID{2}, NotAfter: 3, After: 4, Flags: FlagKeyed}, body)
			r, err := ParseRecord(b)
			if err != nil || r.DecodeInto(again) != nil {
				t.Fatalf("%s: %v %v", name, err, r.DecodeInto(again))
			}
		} else {
			o := Outcomes{Partition: 3, Seq: 9, Hash: 11}
			o.Begin(5, 6, Record{Object: 7, Ref: ID{1}, Command: ID{2}})
			o.Add(body)
			o.End()
			b = bytes.Clone(o.At(0))
			p, err := ParseOutcome(b)
			if err != nil || p.DecodeInto(again) != nil || p.Seq != 10 || !p.Last || p.Hash != NextHash(11, b) {
				t.Fatalf("%s: %+v %v", name, p, err)
			}
		}
		if !reflect.DeepEqual(body, again) {
			t.Errorf("%s: decoded %+v, encoded %+v", name, again, body)
		}
		golden(t, name, b)
	}
}

func TestBodies_EveryTruncationAndExtensionIsAnError(t *testing.T) {
	for name, body := range kinds(t) {
		var n uint64
		fill(reflect.ValueOf(body), &n)
		b := appendBody(nil, body)
		for cut := range b {
			if err := decodeBody(reflect.New(reflect.TypeOf(body).Elem()).Interface().(Body), b[:cut]); err == nil {
				t.Errorf("%s: %d of %d bytes were accepted", name, cut, len(b))
			}
		}
		if err := decodeBody(reflect.New(reflect.TypeOf(body).Elem()).Interface().(Body), append(b, 0)); !errors.Is(err, ErrLong) {
			t.Errorf("%s: a byte too many: %v", name, err)
		}
	}
}

func TestOutcomes_HashCoversEveryByte(t *testing.T) {
	o := Outcomes{}
	o.Begin(5, 6, Record{Object: 7})
	o.Add(&Rejected{Reason: ReasonExpired})
	o.End()
	b := o.At(0)
	for i := range b {
		if i >= 24 && i < 32 {
			continue
		}
		c := bytes.Clone(b)
		c[i] ^= 1
		if NextHash(0, c) == o.Hash {
			t.Errorf("byte %d is not covered", i)
		}
	}
}

func TestTokens_GoldenBytesAndSize(t *testing.T) {
	var n uint64
	var ch Challenge
	fill(reflect.ValueOf(&ch), &n)
	all := ch
	ch.Broad, ch.Origin = 0, 0 // as challenges were before they had them
	n -= 2
	b := append(AppendChallenge(nil, &ch), make([]byte, MACSize)...)
	if len(b) != ChallengeSize {
		t.Fatalf("a challenge has %d bytes, ChallengeSize is %d", len(b), ChallengeSize)
	}
	golden(t, "challenge", b)
	if got, _, _, err := ParseChallenge(b); err != nil || got != ch {
		t.Fatalf("%+v %v", got, err)
	}
	b = append(AppendChallenge(nil, &all), make([]byte, MACSize)...)
	golden(t, "challenge-counted", b)
	if got, _, _, err := ParseChallenge(b); err != nil || got != all {
		t.Fatalf("%+v %v", got, err)
	}
	var tok Token
	fill(reflect.ValueOf(&tok), &n)
	b = append(AppendToken(nil, &tok), make([]byte, MACSize)...)
	if len(b) != TokenSize {
		t.Fatalf("a token has %d bytes, TokenSize is %d", len(b), TokenSize)
	}
	golden(t, "token", b)
	if got, _, _, err := ParseToken(b); err != nil || got != tok {
		t.Fatalf("%+v %v", got, err)
	}
	id := ch.TokenID()
	ch.Expires, ch.Renewed, ch.Difficulty, ch.KeyID = 1, false, 2, 3
	if ch.TokenID() != id {
		t.Error("the place depends on more than its facts")
	}
	golden(t, "token-id", id[:])
}

func FuzzParseRecord(f *testing.F) {
	f.Add(AppendRecord(nil, Record{}, &Tick{Epoch: 1, Now: 2}))
	f.Add(AppendRecord(nil, Record{}, &Hold{Lines: []Line{{1, 2, 0}}}))
	f.Add(AppendRecord(nil, Record{}, &AuthorisedBy{Method: ID{1}, Authorised: Authorised{Amount: 5, Intent: []byte("pi")}}))
	f.Add(AppendRecord(nil, Record{}, &SetMethodLimit{PerMethod: 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRecord(b)
		if err != nil {
			return
		}
		for _, make := range []func(Kind) Body{NewOrder, NewQueueRecord} {
			body := make(r.Kind)
			if body == nil || r.DecodeInto(body) != nil {
				continue
			}
			if again := AppendRecord(nil, r, body); !bytes.Equal(again, b) {
				t.Errorf("two encodings of one record:\n%x\n%x", b, again)
			}
		}
	})
}

func FuzzParseOutcome(f *testing.F) {
	var o Outcomes
	o.Begin(1, 2, Record{})
	o.Add(&Held{Reserved: Reserved{Lines: []HeldLine{{Type: 1}}}})
	o.End()
	f.Add(o.At(0))
	f.Fuzz(func(_ *testing.T, b []byte) {
		p, err := ParseOutcome(b)
		if err != nil {
			return
		}
		for _, make := range []func(Kind) Body{NewOrderOutcome, NewQueueOutcome} {
			if body := make(p.Kind); body != nil {
				_ = p.DecodeInto(body)
			}
		}
	})
}

func FuzzParseSigned(f *testing.F) {
	f.Add(make([]byte, ChallengeSize))
	f.Add(make([]byte, TokenSize))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _, _ = ParseChallenge(b)
		_, _, _, _ = ParseToken(b)
	})
}
