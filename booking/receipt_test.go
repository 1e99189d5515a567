package booking_test

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"fairgate/booking"
	"fairgate/internal/answer"
	"fairgate/internal/eventlog"
	"fairgate/internal/receipt"
	"fairgate/internal/wire"
)

// gateway is another process of the same API: it remembers nothing of what the first one did.
func (w *world) gateway(events *eventlog.Log) *world {
	g := &world{World: w.World, t: w.t, cfg: w.cfg, outcomes: w.outcomes, key: w.key, signer: w.signer, events: events}
	g.desk = answer.New(answer.Config{Topic: g.outcomes, Partitions: 1}, answer.Deps{Events: g.Log})
	g.build()
	g.run("desk", g.desk.Run)
	g.run("api", g.api.Run)
	g.serve()
	g.eventually("the gateway to be ready", func() bool { return g.api.Ready(w.t.Context()) == nil })
	return g
}

// receiptIn reads the receipt of an answer and checks its signature with the public keys.
func (w *world) receiptIn(r reply) receipt.Signed {
	w.t.Helper()
	d, err := receipt.Read(r.body)
	if err != nil {
		w.t.Fatalf("%v in %s", err, r.body)
	}
	keys, err := receipt.ParseJWKS(w.want(200, "GET", booking.ReceiptKeysPath, "").body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := keys.Check(&d.Receipt); err != nil {
		w.t.Errorf("%v: %s", err, r.body)
	}
	return d.Receipt
}

// records are all records of the log so far.
func (w *world) records() [][]byte {
	w.t.Helper()
	_, next, err := w.Log.Bounds(w.t.Context(), w.Topic, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var all [][]byte
	for tail := w.Log.Tail(w.Topic, 0, 0, eventlog.TailConfig{}); int64(len(all)) < next; {
		records, err := tail.Fetch(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			all = append(all, r.Value)
		}
	}
	return all
}

func TestReceipt_IsOfTheRecordInTheLogAndTheSameFromEverybody(t *testing.T) {
	w := newWorld(t)
	w.eventually("the API to be ready", func() bool { return w.api.Ready(t.Context()) == nil })
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "k")
	first := w.receiptIn(made)
	id := made.text("id")
	if string(first.Topic) != w.Topic || first.TopicID == (wire.ID{}) || first.Event != concert || first.Outcome != wire.KindHeld ||
		fmt.Sprint(first.Offset) != fmt.Sprint(made.json["log"].(map[string]any)["offset"]) || first.Seq == 0 {
		t.Errorf("%+v", first.Receipt)
	}
	record := w.records()[first.Offset]
	if r, err := wire.ParseRecord(record); err != nil || r.Ref != first.Booking || sha256.Sum256(record) != first.Record {
		t.Errorf("the receipt is of another record: %+v %v", r, err)
	}
	w.eventually("the projection", func() bool { return w.oneBooking(id) })
	other := w.gateway(w.Log)
	for name, r := range map[string]reply{
		"repeated":           w.want(200, "POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "k"),
		"already held":       w.want(200, "POST", "/booking", bodyOf("alice", concert, "")),
		"read":               w.want(200, "GET", "/booking/"+id, ""),
		"its own":            w.want(200, "GET", "/booking/"+id+"/receipt", ""),
		"elsewhere":          other.want(200, "GET", "/booking/"+id+"/receipt", ""),
		"repeated elsewhere": other.want(200, "POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "k"),
		"cancelled":          other.want(200, "DELETE", "/booking/"+id, ""),
	} {
		if got := w.receiptIn(r); got.Text() != first.Text() {
			t.Errorf("%s: another receipt: %+v", name, got)
		}
	}
}

func (w *world) oneBooking(id string) bool {
	var n int
	err := w.DB.Write.QueryRow(w.t.Context(), `SELECT count(*) FROM bookings WHERE id = $1`, id).Scan(&n)
	return err == nil && n == 1
}

func TestReceipt_OfTheWaitlistStaysThatOfTheWaitlist(t *testing.T) {
	w := newWorld(t)
	w.eventually("the API to be ready", func() bool { return w.api.Ready(t.Context()) == nil })
	hold := w.want(201, "POST", "/booking", bodyOf("alice", gone, ""))
	waits := w.want(201, "POST", "/booking", bodyOf("bob", gone, `,"waitlist":true`))
	first := w.receiptIn(waits)
	if first.Outcome != wire.KindWaitlisted {
		t.Errorf("%+v", first)
	}
	path := "/booking/" + waits.text("id")
	w.want(200, "DELETE", "/booking/"+hold.text("id"), "")
	w.eventually("the offer", func() bool { return w.call("GET", path, "").text("status") == "offered" })
	if got := w.receiptIn(w.want(200, "GET", path, "")); got.Text() != first.Text() {
		t.Errorf("after the offer: %+v, was %+v", got, first)
	}
	other := w.gateway(w.Log)
	w.eventually("the projection", func() bool { return other.call("GET", path, "").text("status") == "offered" })
	if got := w.receiptIn(other.want(200, "GET", path+"/receipt", "")); got.Text() != first.Text() {
		t.Errorf("elsewhere: %+v, was %+v", got, first)
	}
}

func TestReceipt_IsClosedByTheNextTick(t *testing.T) {
	w := newWorld(t)
	w.eventually("the API to be ready", func() bool { return w.api.Ready(t.Context()) == nil })
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	path := "/booking/" + made.text("id") + "/receipt"
	var d receipt.Document
	w.eventually("the head", func() bool {
		r := w.want(200, "GET", path, "")
		var err error
		if d, err = receipt.Read(r.body); err != nil {
			t.Fatal(err)
		}
		if d.Closed != (r.json["chain"] != nil) || d.Closed != r.json["closed"].(bool) || d.Closed == (r.Header.Get("Retry-After") != "") {
			t.Errorf("answered %s, Retry-After %q", r.body, r.Header.Get("Retry-After"))
		}
		return d.Closed
	})
	var chain wire.Hash
	all := w.records()
	for offset, value := range all[:d.Chain.Offset+1] {
		chain = wire.NextChain(chain, int64(offset), value)
	}
	tick, err := wire.ParseRecord(all[d.Chain.Offset])
	if err != nil || tick.Kind != wire.KindTick || d.Chain.Offset <= d.Receipt.Offset || chain != d.Chain.Chain {
		t.Errorf("%+v: the chain over the log is %x (%v)", d.Chain, chain, err)
	}
	again, _ := receipt.Read(w.want(200, "GET", path, "").body)
	if !reflect.DeepEqual(d, again) {
		t.Errorf("asked again: %+v, was %+v", again, d)
	}
	r := w.want(200, "GET", path+"?download=1", "", "Accept", "text/html")
	if got := r.Header.Get("Content-Disposition"); !strings.Contains(got, "attachment") || !strings.Contains(got, made.text("id")) {
		t.Errorf("Content-Disposition %q", got)
	}
}

func TestReceipt_IsForTheOwnerAlone(t *testing.T) {
	w := newWorld(t)
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	path := "/booking/" + made.text("id") + "/receipt"
	w.want(403, "GET", path, "", "Cookie", w.guestCookie())
	w.want(401, "GET", path, "", "Service-Key", "not the right one")
	w.want(200, "GET", path, "", "Service-Key", "a service key of a test")
	w.want(404, "GET", "/booking/0197f1d0-0000-7000-8000-000000000000/receipt", "")
	w.want(400, "GET", "/booking/none/receipt", "")
	w.want(400, "GET", path+"?colour=red", "")
}

func TestReceipt_TwoRequestsWithOneKeyAtOnceGetOneReceipt(t *testing.T) {
	w := newWorld(t)
	w.eventually("the API to be ready", func() bool { return w.api.Ready(t.Context()) == nil })
	other := w.gateway(w.Log)
	texts := make([]string, 6)
	var all sync.WaitGroup
	for i := range texts {
		g := w
		if i%2 == 1 {
			g = other
		}
		all.Go(func() {
			r := g.call("POST", "/booking", bodyOf("alice", concert, ""), "Idempotency-Key", "at once")
			if r.StatusCode == 202 {
				return // told later, and then the same
			}
			d, err := receipt.Read(r.body)
			if err != nil {
				t.Errorf("%v in %d %s", err, r.StatusCode, r.body)
				return
			}
			texts[i] = d.Receipt.Text()
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for _, text := range texts {
		if text != "" {
			seen[text] = true
		}
	}
	if len(seen) != 1 {
		t.Errorf("%d receipts of one booking: %v", len(seen), texts)
	}
}

func TestReceipt_ABookingIsShownWithoutOneWhileTheLogCannotBeRead(t *testing.T) {
	w := newWorld(t)
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	w.eventually("the projection", func() bool { return w.oneBooking(made.text("id")) })
	g := &world{World: w.World, t: t, cfg: w.cfg, outcomes: w.outcomes, key: w.key, signer: w.signer, events: w.Log}
	g.desk = answer.New(answer.Config{Topic: g.outcomes, Partitions: 1}, answer.Deps{Events: g.Log})
	g.build()
	g.serve() // it does not run: nobody has told it which log this is
	if g.api.Ready(t.Context()) == nil {
		t.Error("ready without knowing the log")
	}
	r := g.want(200, "GET", "/booking/"+made.text("id"), "")
	if r.json["receipt"] != nil || r.text("status") != "held" {
		t.Errorf("answered %s", r.body)
	}
	r = g.want(503, "GET", "/booking/"+made.text("id")+"/receipt", "")
	if r.text("type") != "/problems/no-receipt" || r.Header.Get("Retry-After") == "" {
		t.Errorf("answered %s", r.body)
	}
}

func TestReceipt_NoneIsSignedOfARecordThatDidNotAskForTheBooking(t *testing.T) {
	w := newWorld(t)
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	w.want(201, "POST", "/booking", bodyOf("bob", concert, ""))
	w.eventually("the projection", func() bool { return w.oneBooking(made.text("id")) })
	for _, moved := range []string{"log_offset + 1", "log_offset - 2"} {
		if _, err := w.DB.Write.Exec(t.Context(), `UPDATE bookings SET log_offset = `+moved+` WHERE id = $1`, made.text("id")); err != nil {
			t.Fatal(err)
		}
		w.gateway(w.Log).want(503, "GET", "/booking/"+made.text("id")+"/receipt", "")
	}
}

func TestReceipt_ThePageShowsItWithoutJavaScript(t *testing.T) {
	w := newWorld(t)
	w.eventually("the API to be ready", func() bool { return w.api.Ready(t.Context()) == nil })
	made := w.want(201, "POST", "/booking", bodyOf("alice", concert, ""))
	text := w.receiptIn(made).Text()
	path := "/booking/" + made.text("id")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page := string(w.want(200, "GET", path, "", "Accept", "text/html").body)
		if !strings.Contains(page, text) || !strings.Contains(page, `href="`+path+`/receipt?download=1"`) {
			t.Fatalf("no receipt on the page:\n%s", page)
		}
		if strings.Contains(page, "Sealed") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the page never says that it is sealed")
		}
	}
}
