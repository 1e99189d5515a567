package wire

// InviteSize is the length of an invite code in bytes, MAC included; InviteMACSize that of its MAC: 128 bits, so that a
// link stays short.
const (
	InviteSize    = 2 + 32 + InviteMACSize
	InviteMACSize = 16
)

// Invite is what an invite code says: so many places of a room's invited lane. Layout: version u8, type u8 = 'I', KeyID
// u32, Room i64, Number u64, Uses u32, Issued u32, Expires u32, then the first 128 bits of the MAC.
type Invite struct {
	KeyID   uint32
	Room    int64
	Number  uint64 // random; places are counted by it
	Uses    uint32 // how many places it gives at a time
	Issued  uint32 // seconds since 1970, room time
	Expires uint32 // likewise: no place is given from then on
}

func (i *Invite) fields(c *coder) {
	c.u32(&i.KeyID)
	c.i64(&i.Room)
	c.u64(&i.Number)
	c.u32(&i.Uses)
	c.u32(&i.Issued)
	c.u32(&i.Expires)
}

// AppendInvite appends the bytes that the MAC covers.
func AppendInvite(dst []byte, i *Invite) []byte {
	c := coder{buf: append(dst, Version, 'I')}
	i.fields(&c)
	return c.buf
}

// ParseInvite splits an invite code into its facts, the bytes that the MAC covers, and the MAC. It checks form only.
func ParseInvite(b []byte) (i Invite, signed, mac []byte, err error) {
	signed, mac, err = splitSigned(b, InviteSize, InviteMACSize, 'I')
	if err == nil {
		c := coder{buf: signed[2:], decode: true}
		i.fields(&c)
		err = c.end()
	}
	return i, signed, mac, err
}
