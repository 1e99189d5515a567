package botguard

import (
	"net/netip"
	"strings"
	"testing"

	"fairgate/internal/conf"
)

func TestNetworks_AreThePrefixesAndNothingElse(t *testing.T) {
	g := newGuard(t, Config{}, Deps{})
	for _, c := range []struct {
		a, b         string
		narrow, wide bool
	}{
		{"192.0.2.1", "192.0.2.1", true, true},
		{"192.0.2.1", "::ffff:192.0.2.1", true, true},
		{"192.0.2.1", "192.0.2.2", false, true},
		{"192.0.2.1", "192.0.3.1", false, false},
		{"2001:db8:1:200::1", "2001:db8:1:2ff:ffff::9", true, true},
		{"2001:db8:1:200::1", "2001:db8:1:300::1", false, true},
		{"2001:db8:1:200::1", "2001:db8:2:200::1", false, false},
		{"fe80::1%eth0", "fe80::1%eth1", true, true},
	} {
		a, b := g.Networks(netip.MustParseAddr(c.a)), g.Networks(netip.MustParseAddr(c.b))
		if (a.Narrow == b.Narrow) != c.narrow || (a.Wide == b.Wide) != c.wide {
			t.Errorf("%s and %s: %+v, %+v", c.a, c.b, a, b)
		}
		if a.Narrow == a.Wide || a.Wide == a.Broad || a.Origin != 0 || (a.Broad == 0) != strings.Contains(c.a, ".") {
			t.Errorf("%s: %+v", c.a, a)
		}
		if a.Broad != b.Broad {
			t.Errorf("%s and %s are of different /32s", c.a, c.b)
		}
	}
}

func TestNetworks_DependOnTheSecretOnly(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.1")
	n1 := newGuard(t, Config{}, Deps{}).Networks(a)
	n2 := newGuard(t, Config{}, Deps{}).Networks(a)
	other, err := New(Config{Secret: conf.Secret(strings.Repeat("x", 32))}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	n3 := other.Networks(a)
	if n1 != n2 || n1.Narrow == n3.Narrow || n1.Wide == n3.Wide {
		t.Fatalf("%x %x %x", n1, n2, n3)
	}
}

func TestCarrier_IsByListedPrefix(t *testing.T) {
	g := newGuard(t, Config{Carriers: prefixList("203.0.113.0/24", "2001:db8::/32", "::ffff:198.51.100.0/120")}, Deps{})
	for a, want := range map[string]bool{
		"203.0.113.77": true, "::ffff:203.0.113.77": true, "203.0.114.1": false, "2001:db8:9::1": true,
		"2001:db9::1": false, "198.51.100.3": true,
	} {
		if got := g.Carrier(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if g.Carrier(netip.Addr{}) {
		t.Error("no address is a carrier's")
	}
}

func TestClientAddress_OnlyTrustedProxiesAreBelieved(t *testing.T) {
	trusted := prefixList("10.0.0.0/8", "2001:db8:aaaa::/48")
	for _, c := range []struct{ peer, header, want string }{
		{"192.0.2.1", "", "192.0.2.1"},
		{"192.0.2.1", "203.0.113.9", "192.0.2.1"},
		{"10.0.0.1", "203.0.113.9", "203.0.113.9"},
		{"::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "   ", "10.0.0.1"},
		{"10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"},
		{"10.0.0.1", "garbage, 203.0.113.9", "203.0.113.9"},
		{"10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"10.0.0.1", "203.0.113.9:5123", "203.0.113.9"},
		{"10.0.0.1", "[2001:db8::9]:5123", "2001:db8::9"},
		{"10.0.0.1", "[2001:db8::9]", "2001:db8::9"},
		{"2001:db8:aaaa::1", "::ffff:203.0.113.9", "203.0.113.9"},
		{"10.0.0.1", "203.0.113.9, unknown", "error"},
		{"10.0.0.1", "203.0.113.9,", "error"},
		{"10.0.0.1", "203.0.113.9, -1.2.3.4", "error"},
		{"10.0.0.1", strings.Repeat("10.0.0.2,", 40) + "10.0.0.2", "error"},
	} {
		got, err := ClientAddress(netip.MustParseAddr(c.peer), c.header, trusted)
		text := got.String()
		if err != nil {
			text = "error"
		}
		if text != c.want {
			t.Errorf("%s with %q: %s (%v), want %s", c.peer, c.header, text, err, c.want)
		}
	}
	if _, err := ClientAddress(netip.Addr{}, "1.1.1.1", trusted); err == nil {
		t.Error("no peer")
	}
	g := newGuard(t, Config{Trusted: trusted}, Deps{})
	if a, err := g.ClientAddress(netip.MustParseAddr("10.9.9.9"), "203.0.113.9"); err != nil || a.String() != "203.0.113.9" {
		t.Error(a, err)
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("1.1.1.1, 10.0.0.2")
	f.Add("[::1]:80,,")
	f.Add("fe80::1%eth0")
	trusted := prefixList("10.0.0.0/8")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, header string) {
		a, err := ClientAddress(peer, header, trusted)
		if (err == nil) != a.IsValid() || a.Zone() != "" || a.Is4In6() {
			t.Fatalf("%q: %v, %v", header, a, err)
		}
		b, err := ClientAddress(peer, header+", 198.51.100.4", trusted)
		if err != nil || b.String() != "198.51.100.4" {
			t.Fatalf("what the client wrote moved the address: %v, %v", b, err)
		}
	})
}
