package token

import (
	"encoding/base64"
	"errors"
	"testing"

	"fairgate/internal/wire"
)

func inviter(t testing.TB, keys ...Key) *Invites {
	t.Helper()
	v, err := NewInvites(keys)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var guest = wire.Invite{Room: 7, Number: 0xabcdef, Uses: 2, Issued: 1_000, Expires: 2_000}

func TestInvite_SaysWhatWasMinted(t *testing.T) {
	v := inviter(t, Key{ID: 3, Secret: [32]byte{3}})
	code, err := v.Mint(guest)
	if err != nil {
		t.Fatal(err)
	}
	// The golden text: codes are printed on paper.
	if want := "AUkDAAAABwAAAAAAAADvzasAAAAAAAIAAADoAwAA0AcAAE8rtu-eYaco3NAiic35iqA"; code != want {
		t.Errorf("layout %s", code)
	}
	got, err := v.Verify(code, 7, 1_500*second)
	want := guest
	want.KeyID = 3
	if err != nil || got != want {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestInvite_EveryTamperedByteAndTruncationIsRefused(t *testing.T) {
	v := inviter(t, Key{ID: 3, Secret: [32]byte{3}})
	code, _ := v.Mint(guest)
	raw, _ := base64.RawURLEncoding.DecodeString(code)
	for i := range raw {
		raw[i] ^= 0x21
		if _, err := v.Verify(Text(raw), 7, 1_500*second); !errors.Is(err, ErrForm) && !errors.Is(err, ErrKey) && !errors.Is(err, ErrMAC) {
			t.Errorf("byte %d: %v", i, err)
		}
		raw[i] ^= 0x21
	}
	for n := range raw {
		if _, err := v.Verify(Text(raw[:n]), 7, 1_500*second); !errors.Is(err, ErrForm) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := v.Verify(code+"AA", 7, 1_500*second); !errors.Is(err, ErrForm) {
		t.Errorf("longer: %v", err)
	}
}

func TestInvite_OnlyForItsRoomAndTimeAndFromOurKeys(t *testing.T) {
	v := inviter(t, Key{ID: 3, Secret: [32]byte{3}, NotAfter: 1_900 * second}, Key{ID: 4, Secret: [32]byte{4}, NotBefore: 1_200 * second})
	code, _ := v.Mint(guest)
	for _, c := range []struct {
		name      string
		code      func() string
		room, now int64
		want      error
	}{
		{"another room", func() string { return code }, 8, 1_500, ErrRoom},
		{"expired", func() string { s, _ := v.Mint(wire.Invite{Room: 7, Uses: 1, Issued: 1_300, Expires: 1_400}); return s }, 7, 1_400, ErrExpired},
		{"from the future", func() string { s, _ := v.Mint(wire.Invite{Room: 7, Uses: 1, Issued: 1_600, Expires: 1_700}); return s }, 7, 1_500, ErrFuture},
		{"a retired key", func() string { return code }, 7, 1_900, ErrKey},
		{"a foreign key", func() string { s, _ := inviter(t, Key{ID: 9, Secret: [32]byte{9}}).Mint(guest); return s }, 7, 1_500, ErrKey},
		{"a foreign key under our number", func() string { s, _ := inviter(t, Key{ID: 3, Secret: [32]byte{9}}).Mint(guest); return s }, 7, 1_500, ErrMAC},
		{"a key that had not begun when it was made", func() string {
			s, _ := inviter(t, Key{ID: 4, Secret: [32]byte{4}}).Mint(guest)
			return s
		}, 7, 1_500, ErrKey},
	} {
		if _, err := v.Verify(c.code(), c.room, c.now*second); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, i := range []wire.Invite{{}, {Room: 7, Issued: 1, Expires: 2}, {Room: 7, Uses: MaxUses + 1, Issued: 1, Expires: 2}, {Room: 7, Uses: 1, Issued: 2, Expires: 2}} {
		if _, err := v.Mint(i); !errors.Is(err, ErrForm) {
			t.Errorf("minted %+v: %v", i, err)
		}
	}
}

func FuzzInvite(f *testing.F) {
	v := inviter(f, Key{ID: 3, Secret: [32]byte{3}})
	code, _ := v.Mint(guest)
	f.Add(code)
	f.Fuzz(func(t *testing.T, text string) {
		if i, err := v.Verify(text, 7, 1_500*second); err == nil && text != code {
			t.Fatalf("%q passes for %+v", text, i)
		}
	})
}
