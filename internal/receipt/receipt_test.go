package receipt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"fairgate/internal/wire"
)

const instant = 1_800_000_000_123_456

func signer(t testing.TB) *Signer {
	t.Helper()
	s, err := NewSigner([]Key{{ID: 7, From: instant, Seed: [32]byte{7}}, {ID: 1, Seed: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keysOf(t testing.TB, s *Signer) Keys {
	t.Helper()
	k, err := ParseJWKS(s.JWKS())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func facts() wire.Receipt {
	return wire.Receipt{
		Topic: []byte("orders"), TopicID: wire.ID{9, 8}, Partition: 2, Offset: 4711, Record: wire.Hash{1, 2, 3}, Booking: wire.ID{0xab}, Event: 41,
		Outcome: wire.KindHeld, Seq: 5000, At: instant,
	}
}

func TestSign_TheInstantChoosesTheKeyAndTheBytesNeverChange(t *testing.T) {
	s := signer(t)
	a, err := s.Sign(facts())
	if err != nil || a.KeyID != 7 {
		t.Fatal(a.KeyID, err)
	}
	b, _ := signer(t).Sign(facts())
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("signed again it is another receipt")
	}
	before := facts()
	before.At--
	if old, err := s.Sign(before); err != nil || old.KeyID != 1 {
		t.Error(old.KeyID, err)
	}
	late, _ := NewSigner([]Key{{ID: 7, From: instant + 1, Seed: [32]byte{7}}})
	if _, err := late.Sign(facts()); !errors.Is(err, ErrNoKey) {
		t.Error(err)
	}
	want, err := os.ReadFile("testdata/signed.hex")
	if err != nil || hex.EncodeToString(a.Bytes()) != strings.TrimSpace(string(want)) {
		t.Errorf("the signed bytes changed:\n%x", a.Bytes())
	}
}

func TestCheck_EveryChangedBitIsFound(t *testing.T) {
	s := signer(t)
	keys := keysOf(t, s)
	good, _ := s.Sign(facts())
	if err := keys.Check(&good); err != nil {
		t.Fatal(err)
	}
	raw := good.Bytes()
	for i := range raw {
		for bit := range 8 {
			b := bytes.Clone(raw)
			b[i] ^= 1 << bit
			r, _, signature, err := wire.ParseReceipt(b)
			if err != nil {
				continue
			}
			forged := Signed{r, [wire.ReceiptSignature]byte(signature)}
			if err := keys.Check(&forged); err == nil {
				t.Errorf("byte %d, bit %d: believed", i, bit)
			}
		}
	}
}

func TestJSON_EveryChangedMemberIsFound(t *testing.T) {
	s := signer(t)
	good, _ := s.Sign(facts())
	raw, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	var again Signed
	if err := json.Unmarshal(raw, &again); err != nil || !reflect.DeepEqual(again, good) {
		t.Fatalf("%+v %v", again, err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for name, v := range members {
		for _, keepText := range []bool{true, false} {
			forged := map[string]any{}
			for k, v := range members {
				forged[k] = v
			}
			forged[name] = other(name, v)
			if !keepText && name != "text" {
				delete(forged, "text")
			}
			b, _ := json.Marshal(forged)
			var got Signed
			if json.Unmarshal(b, &got) == nil && keysOf(t, s).Check(&got) == nil {
				t.Errorf("%s: believed: %s", name, b)
			}
		}
	}
}

// other is another value that the member could have.
func other(name string, v any) any {
	switch v := v.(type) {
	case float64:
		return v + 1
	case string:
		switch name {
		case "outcome":
			return "waitlisted"
		case "at":
			return strings.Replace(v, "2027", "2028", 1)
		case "keyId":
			return "1"
		case "topic":
			return "orders2"
		}
		for _, c := range []string{"0", "1", "A", "B"} {
			if v[:1] != c {
				return c + v[1:]
			}
		}
	}
	return fmt.Sprint(v)
}

func TestRead_TakesEveryFormAFanMayHaveKept(t *testing.T) {
	good, _ := signer(t).Sign(facts())
	own, _ := json.Marshal(good)
	head := &Head{Offset: 4712, Chain: wire.Hash{5}, Seq: 5001, At: instant + 5}
	document, _ := json.MarshalIndent(Document{Receipt: good, Closed: true, Chain: head}, "", "  ")
	for name, c := range map[string]struct {
		text string
		head bool
	}{
		"text": {good.Text(), false}, "wrapped text": {" " + good.Text()[:60] + "\r\n  " + good.Text()[60:] + "\n", false},
		"json": {string(own), false}, "document": {string(document), true},
		"booking": {`{"id":"x","receipt":` + string(own) + `,"status":"held"}`, false},
	} {
		d, err := Read([]byte(c.text))
		if err != nil || !reflect.DeepEqual(d.Receipt, good) || d.Closed != c.head || c.head && *d.Chain != *head {
			t.Errorf("%s: %+v %v", name, d, err)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "words": "hello fan", "json": "{", "empty json": "{}", "padded": good.Text() + "=", "half": good.Text()[:100],
		"too long": strings.Repeat("A", MaxDocument+1), "a bad chain": strings.Replace(string(document), `"head": "05`, `"head": "zz`, 1),
	} {
		if _, err := Read([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeys_WhatIsNoRingIsRefused(t *testing.T) {
	for name, keys := range map[string][]Key{
		"none": {}, "no id": {{Seed: [32]byte{1}}}, "one id": {{ID: 1}, {ID: 1, From: 5}}, "one instant": {{ID: 1}, {ID: 2}},
		"too many": make([]Key, MaxKeys+1),
	} {
		if _, err := NewSigner(keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, text := range []string{"", "[]", `{"keys":[]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"1","x":"AAAA"}]}`} {
		if _, err := ParseJWKS([]byte(text)); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
	if text := fmt.Sprintf("%v %#v", Key{ID: 1, Seed: [32]byte{0xfe}}, Key{ID: 1, Seed: [32]byte{0xfe}}); strings.Contains(text, "254") || strings.Contains(text, "fe") {
		t.Error("a key prints its seed: " + text)
	}
}

func FuzzRead(f *testing.F) {
	good, _ := signer(f).Sign(facts())
	own, _ := json.Marshal(good)
	document, _ := json.Marshal(Document{Receipt: good, Closed: true, Chain: &Head{Offset: 1}})
	for _, seed := range [][]byte{[]byte(good.Text()), own, document} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Read(b)
		if err != nil {
			return
		}
		again, err := Read([]byte(d.Receipt.Text()))
		if err != nil || !reflect.DeepEqual(again.Receipt, d.Receipt) {
			t.Errorf("read twice: %+v, %+v, %v", d, again, err)
		}
	})
}
