package wire

import (
	"encoding/binary"
	"slices"

	"fairgate/internal/sale"
)

// Most records and outcomes of a sale are of a dozen kinds. For those the fields that each body lists once are written
// out here a second time, as plain stores and loads at known places; a test holds both against each other. What is not
// decoded here, because it is wrong or of another kind, goes through the list of fields, which says what is wrong.

// Lengths of what bodies consist of, in bytes.
const (
	lineSize     = 10
	heldLineSize = 10 + priceSize + 24
	priceSize    = 21
	joinSize     = 51
	joinedSize   = 55
	stockSize    = 24
	shortageSize = 10
	placeSize    = 70
)

// grow makes dst longer by n bytes and returns it with the new ones.
func grow(dst []byte, n int) (all, added []byte) {
	start := len(dst)
	if cap(dst)-start < n {
		dst = slices.Grow(dst, n)
	}
	all = dst[:start+n]
	return all, all[start:]
}

// appendHot encodes a body of a frequent kind. Lists that are too long, and would be cut, are left to the others.
func appendHot(dst []byte, body Body) ([]byte, bool) {
	switch b := body.(type) {
	case *Held:
		if len(b.Subject) < 256 && len(b.Lines) <= sale.MaxLines && len(b.Stock) <= sale.MaxLines {
			return b.append(dst), true
		}
	case *Confirmed:
		if len(b.Intent) < 256 && len(b.Stock) <= sale.MaxLines {
			return b.append(dst), true
		}
	case *Refused:
		if len(b.Lines) <= sale.MaxLines {
			return b.append(dst), true
		}
	case *Cancelled:
		if len(b.Stock) <= sale.MaxLines {
			return appendEnd(dst, &b.UserKey, byte(b.Reason), b.Stock), true
		}
	case *Lapsed:
		if len(b.Stock) <= sale.MaxLines {
			return b.append(dst), true
		}
	case *PaymentBegun:
		dst, to := grow(dst, 24)
		copy(to, b.Attempt[:])
		binary.LittleEndian.PutUint64(to[16:], uint64(b.Expires))
		return dst, true
	case *Repeated:
		dst, to := grow(dst, 33)
		to[0] = byte(b.FirstKind)
		binary.LittleEndian.PutUint64(to[1:], uint64(b.FirstOffset))
		binary.LittleEndian.PutUint64(to[9:], b.FirstSeq)
		copy(to[17:], b.FirstRef[:])
		return dst, true
	case *AlreadyHeld:
		dst, to := grow(dst, 40)
		copy(to, b.Booking[:])
		copy(to[16:], b.UserKey[:])
		binary.LittleEndian.PutUint64(to[32:], uint64(b.Expires))
		return dst, true
	case *Closed:
		return append(dst, b.UserKey[:]...), true
	case *Joined:
		return b.append(dst), true
	case *Enlist:
		return b.append(dst), true
	}
	return dst, false
}

func (h *Held) append(dst []byte) []byte {
	n := len(h.Subject)
	dst, to := grow(dst, 80+n+len(h.Lines)*heldLineSize+len(h.Stock)*stockSize)
	copy(to, h.Pass[:])
	to[16] = byte(n)
	copy(to[17:], h.Subject)
	to = to[17+n:]
	_ = to[62]
	copy(to, h.UserKey[:])
	copy(to[16:], h.TicketBase[:])
	binary.LittleEndian.PutUint64(to[32:], uint64(h.Deadline))
	binary.LittleEndian.PutUint64(to[40:], uint64(h.Expires))
	binary.LittleEndian.PutUint64(to[48:], uint64(h.Total))
	copy(to[56:], h.Currency[:])
	binary.LittleEndian.PutUint16(to[59:], uint16(len(h.Lines)))
	to = to[61:]
	for i := range h.Lines {
		l := &h.Lines[i]
		_ = to[heldLineSize-1]
		binary.LittleEndian.PutUint32(to, l.Type)
		binary.LittleEndian.PutUint16(to[4:], l.Quantity)
		binary.LittleEndian.PutUint32(to[6:], l.Seat)
		binary.LittleEndian.PutUint64(to[10:], uint64(l.Price.Ticket))
		binary.LittleEndian.PutUint64(to[18:], uint64(l.Price.Fee))
		binary.LittleEndian.PutUint32(to[26:], l.Price.TaxRate)
		to[30] = flagByte(l.Price.Included)
		binary.LittleEndian.PutUint64(to[31:], uint64(l.Discount))
		binary.LittleEndian.PutUint64(to[39:], uint64(l.Tax))
		binary.LittleEndian.PutUint64(to[47:], uint64(l.Total))
		to = to[heldLineSize:]
	}
	putStocks(to, h.Stock)
	return dst
}

func (x *Confirmed) append(dst []byte) []byte {
	n := len(x.Intent)
	dst, to := grow(dst, 44+n+len(x.Stock)*stockSize)
	copy(to, x.UserKey[:])
	copy(to[16:], x.Attempt[:])
	binary.LittleEndian.PutUint64(to[32:], uint64(x.Amount))
	to[40] = flagByte(x.Late)
	to[41] = byte(n)
	copy(to[42:], x.Intent)
	putStocks(to[42+n:], x.Stock)
	return dst
}

func (r *Refused) append(dst []byte) []byte {
	dst, to := grow(dst, 20+len(r.Lines)*shortageSize)
	to[0], to[1] = byte(r.Reason), byte(r.Command)
	copy(to[2:], r.UserKey[:])
	binary.LittleEndian.PutUint16(to[18:], uint16(len(r.Lines)))
	to = to[20:]
	for i := range r.Lines {
		s := &r.Lines[i]
		binary.LittleEndian.PutUint32(to, s.Type)
		binary.LittleEndian.PutUint16(to[4:], s.Asked)
		binary.LittleEndian.PutUint32(to[6:], s.Left)
		to = to[shortageSize:]
	}
	return dst
}

// appendEnd encodes what Cancelled and Revoked have in common.
func appendEnd(dst []byte, user *ID, reason byte, stock []Stock) []byte {
	dst, to := grow(dst, 19+len(stock)*stockSize)
	copy(to, user[:])
	to[16] = reason
	putStocks(to[17:], stock)
	return dst
}

func (l *Lapsed) append(dst []byte) []byte {
	dst, to := grow(dst, 18+len(l.Stock)*stockSize)
	copy(to, l.UserKey[:])
	putStocks(to[16:], l.Stock)
	return dst
}

func (e *Enlist) append(dst []byte) []byte {
	dst, to := grow(dst, joinSize+16)
	_ = to[joinSize+15]
	binary.LittleEndian.PutUint64(to, uint64(e.Instant))
	binary.LittleEndian.PutUint32(to[8:], e.Edge)
	copy(to[12:], e.Visitor[:])
	to[28], to[29] = byte(e.Lane), flagByte(e.Carrier)
	binary.LittleEndian.PutUint64(to[30:], e.Narrow)
	binary.LittleEndian.PutUint64(to[38:], e.Wide)
	to[46] = e.Algorithm
	binary.LittleEndian.PutUint32(to[47:], e.Difficulty)
	binary.LittleEndian.PutUint64(to[joinSize:], e.Broad)
	binary.LittleEndian.PutUint64(to[joinSize+8:], e.Origin)
	return dst
}

func (j *Joined) append(dst []byte) []byte {
	dst, to := grow(dst, joinedSize)
	_ = to[joinedSize-1]
	to[0] = j.Key.Class
	binary.LittleEndian.PutUint64(to[1:], j.Key.Key)
	copy(to[9:], j.Key.Token[:])
	to[25] = byte(j.Lane)
	to[26] = flagByte(j.Drawn)
	binary.LittleEndian.PutUint64(to[27:], uint64(j.Instant))
	copy(to[35:], j.Visitor[:])
	binary.LittleEndian.PutUint32(to[51:], j.Ahead)
	return dst
}

// append encodes a place as its fields do: on each join its id is made anew.
func (p *Place) append(dst []byte) []byte {
	dst, to := grow(dst, placeSize)
	_ = to[placeSize-1]
	binary.LittleEndian.PutUint64(to, uint64(p.Room))
	to[8] = byte(p.Lane)
	binary.LittleEndian.PutUint64(to[9:], uint64(p.Instant))
	binary.LittleEndian.PutUint32(to[17:], p.Edge)
	copy(to[21:], p.Visitor[:])
	binary.LittleEndian.PutUint64(to[37:], p.Narrow)
	binary.LittleEndian.PutUint64(to[45:], p.Wide)
	to[53] = flagByte(p.Carrier)
	copy(to[54:], p.Random[:])
	return dst
}

func putStocks(to []byte, stock []Stock) {
	binary.LittleEndian.PutUint16(to, uint16(len(stock)))
	to = to[2:]
	for i := range stock {
		s := &stock[i]
		_ = to[stockSize-1]
		binary.LittleEndian.PutUint32(to, s.Type)
		binary.LittleEndian.PutUint32(to[4:], s.Capacity)
		binary.LittleEndian.PutUint32(to[8:], s.Target)
		binary.LittleEndian.PutUint32(to[12:], s.Held)
		binary.LittleEndian.PutUint32(to[16:], s.Sold)
		binary.LittleEndian.PutUint32(to[20:], s.Free)
		to = to[stockSize:]
	}
}

func flagByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// decodeHot fills a body of a frequent kind, or says that it did not: then the body may hold anything.
func decodeHot(body Body, b []byte) bool {
	switch x := body.(type) {
	case *Hold:
		return x.decode(b)
	case *Authorised:
		return x.decode(b)
	case *AuthorisedBy:
		if len(b) < len(x.Method) {
			return false
		}
		x.Method = ID(b[:16])
		return x.Authorised.decode(b[16:])
	case *PaymentStarted:
		if len(b) != 32 {
			return false
		}
		x.UserKey, x.Attempt = ID(b[:16]), ID(b[16:])
		return true
	case *Cancel:
		if len(b) != 17 {
			return false
		}
		x.UserKey, x.Reason = ID(b[:16]), Reason(b[16])
		return true
	case *Join:
		return len(b) == joinSize && x.decode(b)
	case *Enlist:
		if len(b) != joinSize+16 || !x.Join.decode(b) {
			return false
		}
		x.Broad, x.Origin = binary.LittleEndian.Uint64(b[joinSize:]), binary.LittleEndian.Uint64(b[joinSize+8:])
		return true
	case *Joined:
		return len(b) == joinedSize && x.decode(b)
	case *Tick:
		if len(b) != 24 {
			return false
		}
		x.Epoch, x.Now, x.Bound = binary.LittleEndian.Uint64(b), int64(binary.LittleEndian.Uint64(b[8:])), int64(binary.LittleEndian.Uint64(b[16:]))
		return true
	}
	return false
}

// decode reads what an Enlist begins with too.
func (j *Join) decode(b []byte) bool {
	_ = b[joinSize-1]
	j.Instant, j.Edge = int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[8:])
	j.Visitor, j.Lane, j.Carrier = ID(b[12:28]), Lane(b[28]), b[29] == 1
	j.Narrow, j.Wide = binary.LittleEndian.Uint64(b[30:]), binary.LittleEndian.Uint64(b[38:])
	j.Algorithm, j.Difficulty = b[46], binary.LittleEndian.Uint32(b[47:])
	return b[29] <= 1
}

func (j *Joined) decode(b []byte) bool {
	_ = b[joinedSize-1]
	j.Key = OrderKey{Class: b[0], Key: binary.LittleEndian.Uint64(b[1:]), Token: ID(b[9:25])}
	j.Lane, j.Drawn = Lane(b[25]), b[26] == 1
	j.Instant, j.Visitor = int64(binary.LittleEndian.Uint64(b[27:])), ID(b[35:51])
	j.Ahead = binary.LittleEndian.Uint32(b[51:])
	return b[26] <= 1
}

func (h *Hold) decode(b []byte) bool {
	if len(b) < 60 || len(b) < 60+int(b[0]) {
		return false
	}
	n := int(b[0])
	h.Subject, b = b[1:1+n:1+n], b[1+n:]
	_ = b[58]
	h.UserKey, h.TicketBase, h.Pass = ID(b[:16]), ID(b[16:32]), ID(b[32:48])
	h.PassExpires = int64(binary.LittleEndian.Uint64(b[48:]))
	count := int(binary.LittleEndian.Uint16(b[57:]))
	if b[56] > 1 || count > sale.MaxLines || len(b) != 59+count*lineSize {
		return false
	}
	h.Waitlist = b[56] == 1
	b = b[59:]
	if cap(h.Lines) < count {
		h.Lines = make([]Line, count)
	}
	h.Lines = h.Lines[:count]
	for i := range h.Lines {
		h.Lines[i] = Line{Type: binary.LittleEndian.Uint32(b), Quantity: binary.LittleEndian.Uint16(b[4:]), Seat: binary.LittleEndian.Uint32(b[6:])}
		b = b[lineSize:]
	}
	return true
}

func (a *Authorised) decode(b []byte) bool {
	if len(b) < 28 || len(b) != 28+int(b[27]) {
		return false
	}
	a.Attempt, a.Amount = ID(b[:16]), int64(binary.LittleEndian.Uint64(b[16:]))
	a.Currency, a.Intent = [3]byte(b[24:27]), b[28:]
	return true
}
