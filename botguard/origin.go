package botguard

import (
	"fmt"
	"net/netip"

	"github.com/oschwald/maxminddb-golang/v2"
)

// origins tells the autonomous system of an address from a table in the MaxMind format. The zero value knows none.
type origins struct{ table *maxminddb.Reader }

// openOrigins reads a table; an empty path is none. The file is mapped, so keep it and replace it by renaming.
func openOrigins(path string) (origins, error) {
	if path == "" {
		return origins{}, nil
	}
	table, err := maxminddb.Open(path)
	if err != nil {
		return origins{}, fmt.Errorf("asnTable: expected a file in the MaxMind DB format: %w", err)
	}
	return origins{table}, nil
}

// of is the number of an address's autonomous system, 0 for not known. What the table says wrongly is not known.
func (o origins) of(a netip.Addr) uint32 {
	if o.table == nil || !a.IsValid() {
		return 0
	}
	var number uint32
	if o.table.Lookup(a).DecodePath(&number, "autonomous_system_number") != nil {
		return 0
	}
	return number
}
