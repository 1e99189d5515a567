package admin

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"time"

	"fairgate/internal/estimate"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// eventView is an event as the operators' API and the pages show it. Amounts are decimals in the currency.
type eventView struct {
	ID         int64      `json:"id"`
	Name       string     `json:"name"`
	Venue      string     `json:"venue"`
	City       string     `json:"city"`
	Zone       string     `json:"zone"`
	StartsAt   time.Time  `json:"startsAt"`
	EndsAt     time.Time  `json:"endsAt"`
	Currency   string     `json:"currency"`
	Room       int64      `json:"room,omitempty"`
	Partition  int32      `json:"partition"`
	PerUser    int        `json:"perUser"`
	PerCard    int        `json:"perCard"` // most bookings that one card may pay for; 0 for no limit
	State      string     `json:"state"`   // unpublished, selling, stopped or cancelled
	ChangedSeq uint64     `json:"changedSeq"`
	Stock      []typeView `json:"ticketTypes"`
}

// typeView is a ticket type with its numbers: held + sold + free = capacity.
type typeView struct {
	Type     uint32 `json:"ticketType"`
	Name     string `json:"name"`
	Default  bool   `json:"default"`
	PerUser  int    `json:"perUser"`
	Price    string `json:"price"`
	Fee      string `json:"fee"`
	TaxRate  string `json:"taxRate"` // percent
	Tax      string `json:"tax"`     // included or added
	Capacity int    `json:"capacity"`
	Target   int    `json:"target"` // what the capacity shrinks to, when below what is in use
	Held     int    `json:"held"`
	Sold     int    `json:"sold"`
	Free     int    `json:"free"`
}

// SoldPart and HeldPart are per cent of the capacity, for bars.
func (t typeView) SoldPart() string { return part(t.Sold, t.Capacity) }

// HeldPart is what is on hold.
func (t typeView) HeldPart() string { return part(t.Held, t.Capacity) }

func part(n, of int) string {
	return strconv.FormatFloat(100*float64(n)/float64(max(of, 1)), 'f', 2, 64)
}

func viewEvent(e *store.Event) eventView {
	v := eventView{
		ID: e.ID, Name: e.Name, Venue: e.Venue, City: e.City, Zone: e.Zone, StartsAt: e.StartsAt.UTC(), EndsAt: e.EndsAt.UTC(),
		Currency: e.Currency, Room: e.Room, Partition: e.Partition, PerUser: e.PerUser, PerCard: e.PerCard, State: stateOf(e), ChangedSeq: e.ChangedSeq, Stock: []typeView{},
	}
	for _, t := range e.Types {
		tax := "added"
		if t.Price.Included {
			tax = "included"
		}
		v.Stock = append(v.Stock, typeView{
			Type: t.Type, Name: t.Name, Default: t.Default, PerUser: t.PerUser, Price: money(t.Price.Ticket, e.Currency),
			Fee: money(t.Price.Fee, e.Currency), TaxRate: percent(t.Price.TaxRate), Tax: tax, Capacity: t.Capacity,
			Target: t.Target, Held: t.Held, Sold: t.Sold, Free: t.Free,
		})
	}
	return v
}

func stateOf(e *store.Event) string {
	switch {
	case e.Cancelled:
		return "cancelled"
	case !e.Defined:
		return "unpublished"
	case e.Selling:
		return "selling"
	}
	return "stopped"
}

func money(minor int64, currency string) string {
	return sale.Money{Minor: minor, Currency: currency}.String()
}

// roomView is a waiting room as it was asked for, and as its newest document shows it.
type roomView struct {
	ID        int64      `json:"id"`
	Name      string     `json:"name"`
	Mode      string     `json:"mode"`
	Partition int32      `json:"partition"`
	State     string     `json:"state"` // unpublished, unknown, or the room's
	PerMinute int        `json:"perMinute"`
	Cap       int        `json:"cap"`
	EarlyFrom *time.Time `json:"earlyFrom,omitempty"`
	OpensAt   *time.Time `json:"opensAt,omitempty"`
	EndsAt    *time.Time `json:"endsAt,omitempty"`
	Draw      *drawView  `json:"draw,omitempty"` // of mode draw
	Live      *queueView `json:"live,omitempty"` // absent until a document was read
}

// drawView is a room's draw as it was promised and as far as it has come.
type drawView struct {
	ClosesAt   time.Time `json:"closesAt"`
	RevealFrom time.Time `json:"revealFrom"` // before, somebody could still join it; outages prolong that
	Source     string    `json:"publicSource"`
	Commitment string    `json:"commitment"` // SHA-256 of the seed, hex
	Public     string    `json:"publicValue,omitempty"`
	Seed       string    `json:"seed,omitempty"` // hex, once the log has published it
	Stage      string    `json:"stage"`          // collecting, closed (the public value is missing), given, revealed or held
}

// queueView is the live state of a line. WaitLow and WaitHigh are what somebody at the end of the normal lane is likely
// to wait, in seconds; -1 while unknown.
type queueView struct {
	Joined      uint32    `json:"joined"`
	Waiting     uint32    `json:"waiting"`
	Inside      uint32    `json:"inside"`
	Cap         uint32    `json:"cap"`
	PerMinute   uint32    `json:"perMinute"` // measured
	Left        int64     `json:"left"`      // tickets free; -1 unknown
	Coming      int64     `json:"coming"`
	WaitLow     int64     `json:"waitLowSeconds"`
	WaitHigh    int64     `json:"waitHighSeconds"`
	At          time.Time `json:"at"` // log time
	BehindMS    int64     `json:"behindMillis"`
	ClockBound  int64     `json:"clockBoundMicros"` // of this process' room time
	Epoch       uint64    `json:"epoch"`
	Offset      int64     `json:"offset"`
	Chain       string    `json:"chain"`
	InsidePart  string    `json:"-"`
	Stale       bool      `json:"stale"` // no document for a while
	LaneWaiting []lanePar `json:"lanes"`

	Admitted uint32 `json:"admitted"`         // ever
	GivenUp  uint32 `json:"givenUp"`          // ever, by their owners
	Missed   uint32 `json:"missed"`           // turns, ever and for good
	Joining  int64  `json:"joiningPerMinute"` // over the last ten to twenty seconds
	Leaving  int64  `json:"leavingPerMinute"` // given up or missed, likewise
	ShowUp   int64  `json:"showUpPercent"`    // of the invited; -1 before it was measured
	// How good the promised waits were: what this dashboard has seen since it started, and a while before.
	Promises int64 `json:"promises"`         // turns that came
	Kept     int64 `json:"keptPercent"`      // of them within the promised band; -1 while there are none
	Off      int64 `json:"waitErrorPercent"` // how far from the band's middle, of the wait, on average; -1 likewise
}

type lanePar struct {
	Lane    string `json:"lane"`
	Waiting uint32 `json:"waiting"`
}

// staleAfter is how old a document is when the line may have lost its leader.
const staleAfter = 5 * time.Second

func (a *Admin) viewRoom(r *store.Room) roomView {
	v := roomView{
		ID: r.ID, Name: r.Name, Mode: r.Mode, Partition: r.Partition, State: "unknown", PerMinute: r.PerMinute, Cap: r.Cap,
		EarlyFrom: orNil(r.EarlyFrom), OpensAt: orNil(r.OpensAt), EndsAt: orNil(r.EndsAt),
	}
	if !r.Defined {
		v.State = "unpublished"
	}
	if r.Mode == "draw" {
		v.Draw = a.viewDraw(r)
	}
	doc, ok := a.documents.newest(r.ID)
	if !ok {
		return v
	}
	v.State = doc.State
	if v.Draw != nil {
		v.Draw.take(&doc)
	}
	now, bound := a.deps.Commands.RoomTime()
	v.Live = viewQueue(&doc, now, bound)
	v.Live.Joining, v.Live.Leaving = a.documents.pace(&doc)
	v.Live.score(a.documents.waits.Of(r.ID))
	return v
}

// score puts numbers of promises into per cent.
func (q *queueView) score(s estimate.Score) {
	q.Promises, q.Kept, q.Off = int64(s.Within+s.Early+s.Late), -1, -1
	if q.Promises > 0 {
		q.Kept, q.Off = 100*int64(s.Within)/q.Promises, 100*s.Off/max(s.Waited, 1)
	}
}

func (a *Admin) viewDraw(r *store.Room) *drawView {
	d := &drawView{
		ClosesAt: r.Draw.Closes.UTC(), RevealFrom: r.Draw.Opens(r.Late).UTC(), Source: r.Draw.Source,
		Commitment: hex.EncodeToString(r.Draw.Commitment[:]), Public: r.Draw.Public, Stage: "collecting",
	}
	now, _ := a.deps.Commands.RoomTime()
	switch {
	case r.Draw.Revealed:
		d.Stage = "revealed"
	case r.Draw.Public != "":
		d.Stage = "given"
	case !time.UnixMicro(now).Before(d.RevealFrom):
		d.Stage = "closed"
	}
	return d
}

// take believes the room itself about what it was told.
func (d *drawView) take(doc *wire.QueueDocument) {
	if doc.Seed == "" {
		return
	}
	d.Seed, d.Public, d.Stage = doc.Seed, doc.Public, "revealed"
	if doc.Drawn {
		d.Stage = "held"
	}
}

func viewQueue(doc *wire.QueueDocument, now, bound int64) *queueView {
	q := &queueView{
		Joined: doc.Joined, Waiting: doc.Waiting, Inside: doc.Inside, Cap: doc.Cap, PerMinute: doc.PerMinute, Left: doc.Left,
		Coming: doc.Coming, WaitLow: -1, WaitHigh: -1, At: time.UnixMicro(doc.At).UTC(), BehindMS: max(0, now-doc.At) / 1000,
		ClockBound: bound, Epoch: doc.Epoch, Offset: doc.Offset, Chain: doc.Chain, InsidePart: part(int(doc.Inside), int(doc.Cap)),
		LaneWaiting: []lanePar{}, Admitted: doc.Admitted, GivenUp: doc.GivenUp, Missed: doc.Missed, ShowUp: -1,
	}
	if doc.ShowUp > 0 {
		q.ShowUp = (doc.ShowUp + 5) / 10
	}
	q.Stale = q.BehindMS > staleAfter.Milliseconds()
	for _, l := range doc.Lanes {
		if l.Waiting > 0 {
			q.LaneWaiting = append(q.LaneWaiting, lanePar{l.Lane, l.Waiting})
		}
		if l.Lane != wire.LaneNormal.String() {
			continue
		}
		if l.RateHigh > 0 {
			q.WaitLow = int64(l.Waiting) * 60_000 / l.RateHigh
		}
		if l.RateLow > 0 {
			q.WaitHigh = int64(l.Waiting) * 60_000 / l.RateLow
		}
	}
	return q
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func (a *Admin) eventsJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	found, err := a.deps.Store.Events(r.Context(), who.scope(), listLimit)
	if err != nil {
		return err
	}
	views := []eventView{}
	for i := range found {
		views = append(views, viewEvent(&found[i]))
	}
	writeJSON(w, views)
	return nil
}

func (a *Admin) eventJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	e, err := a.event(r.Context(), r, who)
	if err != nil {
		return err
	}
	writeJSON(w, viewEvent(&e))
	return nil
}

func (a *Admin) roomsJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	found, err := a.deps.Store.Rooms(r.Context(), who.scope(), listLimit)
	if err != nil {
		return err
	}
	views := []roomView{}
	for i := range found {
		views = append(views, a.viewRoom(&found[i]))
	}
	writeJSON(w, views)
	return nil
}

func (a *Admin) roomJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	room, err := a.room(r.Context(), r, who)
	if err != nil {
		return err
	}
	writeJSON(w, a.viewRoom(&room))
	return nil
}

// auditView is one entry for people and programs.
type auditView struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Action string    `json:"action"`
	Object string    `json:"object"`
	Result string    `json:"result"` // done, a problem's name, or unknown
	Said   string    `json:"said"`
	Seq    uint64    `json:"seq,omitempty"`
	Asked  any       `json:"asked"`
}

func viewAudit(entries []store.AuditEntry) []auditView {
	views := []auditView{}
	for _, e := range entries {
		d := detailOf(e.Detail)
		if d.Result == "" {
			d.Result = "unknown"
		}
		v := auditView{ID: e.ID, At: e.At.UTC(), By: byWhom(e), Action: e.Action, Object: e.Object, Result: d.Result, Said: d.Said, Seq: d.Seq}
		if len(d.Asked) > 0 {
			v.Asked = d.Asked
		}
		views = append(views, v)
	}
	return views
}

// auditQuery reads ?object= and ?before=.
func auditQuery(r *http.Request, who actor) (store.AuditQuery, error) {
	q := store.AuditQuery{Organiser: who.scope(), Object: r.URL.Query().Get("object"), Limit: 100}
	if before := r.URL.Query().Get("before"); before != "" {
		id, err := sale.ParseID(before)
		if err != nil {
			return q, web.BadRequest("before", "the id of an entry")
		}
		q.Before = id
	}
	return q, nil
}

func (a *Admin) auditJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	q, err := auditQuery(r, who)
	if err != nil {
		return err
	}
	entries, err := a.deps.Store.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	writeJSON(w, viewAudit(entries))
	return nil
}
