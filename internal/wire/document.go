package wire

import "encoding/json"

// QueueDocument is what half a million people read instead of asking: one per room per second, the same for everybody.
// Its JSON is the format of the topic `queue-documents` and of GET /rooms/{room}/queue.
//
// In mode "draw" it promises commitment, publicSource and drawCloses from the beginning. seed and publicValue appear when
// they are revealed: from then on everybody can compute the value of their own place, whose id is `place` in the answers
// of join and place: HMAC-SHA-256 with the key SHA-256(seed ‖ publicValue as UTF-8) over the 16 bytes of the id, its first
// 8 bytes. The order key is "00", those 8 bytes and the id, in hex; it replaces the one that join answered. drawn says
// that the draw was held: only then do the tables below know these keys.
type QueueDocument struct {
	Version    int            `json:"version"` // of this layout: Version
	Room       int64          `json:"room"`
	State      string         `json:"state"` // RoomState
	At         int64          `json:"at"`    // log time, µs
	Epoch      uint64         `json:"epoch"`
	Offset     int64          `json:"offset"`              // of the tick it was made at; never served after a newer one
	Chain      string         `json:"chain"`               // head of the log's hash chain at that tick, hex
	Mode       string         `json:"mode"`                // "fcfs" or "draw"
	EarlyFrom  int64          `json:"earlyFrom,omitempty"` // while closed: from when people may join
	OpensAt    int64          `json:"opensAt,omitempty"`   // from when they are let in
	DrawCloses int64          `json:"drawCloses,omitempty"`
	EndsAt     int64          `json:"endsAt,omitempty"`
	Commitment string         `json:"commitment,omitempty"` // hex
	Source     string         `json:"publicSource,omitempty"`
	Seed       string         `json:"seed,omitempty"`        // hex, once revealed
	Public     string         `json:"publicValue,omitempty"` // once revealed
	Drawn      bool           `json:"drawn,omitempty"`       // the draw was held: the tables below know its keys
	Lanes      []LaneDocument `json:"lanes"`
	Joined     uint32         `json:"joined"`             // places ever recorded
	Waiting    uint32         `json:"waiting"`            // not yet admitted, missed or gone
	Admitted   uint32         `json:"admitted,omitempty"` // places ever given a pass
	GivenUp    uint32         `json:"givenUp,omitempty"`  // places ever given up by their owners while they waited
	Missed     uint32         `json:"missed,omitempty"`   // turns ever missed for good
	Inside     uint32         `json:"inside"`
	Cap        uint32         `json:"cap"`
	PerMinute  uint32         `json:"perMinute"`        // measured admissions a minute
	ShowUp     int64          `json:"showUp,omitempty"` // measured share of the invited who come, per mille
	Left       int64          `json:"left"`             // tickets free; -1 unknown
	Coming     int64          `json:"coming"`           // tickets on hold that may come back; -1 unknown
	Price      string         `json:"price,omitempty"`
	Currency   string         `json:"currency,omitempty"`
	Allowance  int64          `json:"allowance"` // µs: ranks of places younger than this may still grow
	NextPoll   int            `json:"nextPoll"`  // seconds
}

// LaneDocument is one line of a room.
type LaneDocument struct {
	Lane      string    `json:"lane"`
	InvitedTo string    `json:"invitedUpTo"` // text of an OrderKey; places up to and including it may ask; "" for none
	Waiting   uint32    `json:"waiting"`     // in this lane behind InvitedTo
	RateLow   int64     `json:"rateLow"`     // thousandths of people a minute: P90 of the wait is ahead × 60000 / RateLow s
	RateHigh  int64     `json:"rateHigh"`    // P10 likewise; both 0 while unknown
	Table     []RankRow `json:"table"`       // ascending; exact for the next few hundred, then log-spaced
}

// RankRow says how many people of the lane stand between InvitedTo and Key (Key itself not counted). Key is the text of
// an OrderKey or the beginning of one, as long as it takes to sort after the place before it. In JSON the row is an array
// of two: ["01…", 17].
type RankRow struct {
	Key    string
	Before uint32
}

// MarshalJSON writes the array.
func (r RankRow) MarshalJSON() ([]byte, error) { return json.Marshal([2]any{r.Key, r.Before}) }

// UnmarshalJSON reads the array.
func (r *RankRow) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, &[2]any{&r.Key, &r.Before})
}

// Position is which place of the lane a key is, 1 for the next to be invited, by the table: exact between neighbouring
// rows, else a number from low to high. Zero means that the place is invited.
func (l *LaneDocument) Position(key string) (low, high uint32) {
	if key <= l.InvitedTo {
		return 0, 0
	}
	low, high = 1, max(1, l.Waiting)
	for _, row := range l.Table {
		if row.Key > key {
			return low, max(low, row.Before)
		}
		low = row.Before + 1
	}
	return low, max(low, high)
}

// PassClaims are the claims of an admission pass besides the registered ones (RFC 7519): iss "fairgate", aud
// "room:ID", jti the pass id in hex, sub the visitor's hash in hex, iat, exp. Signed with EdDSA.
type PassClaims struct {
	Room  int64  `json:"room"`
	Place string `json:"place"` // token id in hex
	Lane  string `json:"lane"`
}
