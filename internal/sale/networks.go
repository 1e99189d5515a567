package sale

// Networks are keyed hashes of a client's networks. They count places without telling who stands there: without the key a
// hash cannot be turned into an address. 0 is none.
type Networks struct {
	Narrow uint64 // IPv4 address, IPv6 /56
	Wide   uint64 // IPv4 /24, IPv6 /48
	Broad  uint64 // IPv6 /32
	Origin uint64 // autonomous system, where a table of them is configured
}

// NetworkPlaces counts places in line from a client's networks.
type NetworkPlaces struct{ Narrow, Wide, Broad, Origin int64 }
