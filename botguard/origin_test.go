package botguard

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// asnTable writes a table as a provider would.
func asnTable(t *testing.T, systems map[string]uint32) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-ASN", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	for network, number := range systems {
		_, n, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		err = w.Insert(n, mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(number), "autonomous_system_organization": mmdbtype.String("Example")})
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "asn.mmdb")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNetworks_AnAutonomousSystemIsKnownByTheTable(t *testing.T) {
	path := asnTable(t, map[string]uint32{"1.2.0.0/16": 64500, "1.3.0.0/16": 64500, "8.8.0.0/16": 64501, "2a00:1::/32": 64501})
	g := newGuard(t, Config{ASNTable: path}, Deps{})
	origin := func(a string) uint64 { return g.Networks(netip.MustParseAddr(a)).Origin }
	switch {
	case origin("1.2.3.4") == 0, origin("1.2.3.4") != origin("1.3.9.9"), origin("1.2.3.4") == origin("8.8.8.8"):
		t.Error("IPv4:", origin("1.2.3.4"), origin("1.3.9.9"), origin("8.8.8.8"))
	case origin("2a00:1::7") != origin("8.8.8.8"), origin("::ffff:1.2.3.4") != origin("1.2.3.4"):
		t.Error("IPv6:", origin("2a00:1::7"), origin("::ffff:1.2.3.4"))
	case origin("9.9.9.9") != 0, origin("2a00:2::7") != 0:
		t.Error("an address that the table does not have has a system")
	}
	if n := g.Networks(netip.Addr{}); n.Origin != 0 {
		t.Error("no address has a system")
	}
}

func TestNew_ATableOfAnotherFormatIsRefusedByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asn.csv")
	if err := os.WriteFile(path, []byte("1.2.0.0/16,64500\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".missing"} {
		_, err := New(Config{Secret: secret, ASNTable: p}, Deps{})
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte("asnTable: expected a file in the MaxMind DB format")) {
			t.Errorf("%s: %v", p, err)
		}
	}
}
