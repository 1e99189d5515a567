package cases

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/internal/wire"
)

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Write.Exec(context.Background(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// one reads one value.
func one[T any](w *world, sql string, args ...any) (v T) {
	w.t.Helper()
	if err := w.db.Write.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// hold asks for tickets, waiting in line if there are none, and returns the booking.
func (w *world) hold(user string, tickets uint16) sale.UUID {
	w.t.Helper()
	id, err := w.pay.NewID()
	if err != nil {
		w.t.Fatal(err)
	}
	base, err := w.pay.NewID()
	if err != nil {
		w.t.Fatal(err)
	}
	base[13], base[14], base[15] = 0, 0, 0
	w.append(wire.Record{Object: show, Ref: wire.ID(id)}, &wire.Hold{
		Subject: []byte(user), UserKey: sale.UserKey(user), TicketBase: wire.ID(base), Waitlist: true,
		Lines: []wire.Line{{Type: 1, Quantity: tickets}},
	})
	w.run()
	return id
}

// request is what booking asks of the payment service.
func (w *world) request(booking sale.UUID) payment.StartRequest {
	w.t.Helper()
	b, err := w.db.Booking(context.Background(), booking)
	if err != nil {
		w.t.Fatal(err)
	}
	return payment.StartRequest{Booking: b.ID, Event: b.Event, User: b.User, Amount: b.Total, Currency: b.Currency}
}

func (w *world) start(booking sale.UUID) payment.Receipt {
	w.t.Helper()
	r, err := w.pay.Start(context.Background(), w.request(booking))
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// api calls the provider with the secret key, as its dashboard and its pages do, and returns the status.
func (w *world) api(path string, form url.Values) int {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, w.simURL+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.SetBasicAuth(stripeKey, "")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// card gives the bank's answer to an intent: "visa", "chargeDeclined", "pendingRefund", …
func (w *world) card(intent, card string) int {
	w.t.Helper()
	return w.api("/v1/payment_intents/"+intent+"/confirm", url.Values{"payment_method": {"pm_card_" + card}})
}

// finish3DS ends an authentication as the fan does on the bank's page: complete or fail.
func (w *world) finish3DS(r payment.Receipt, action string) {
	w.t.Helper()
	form := url.Values{"client_secret": {r.ClientSecret}, "return_url": {"http://shop.test/"}, "action": {action}}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(w.simURL+"/3ds/"+r.Intent, form)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther {
		w.t.Fatalf("the bank's page answered %d", res.StatusCode)
	}
}

// buy holds, pays and settles: one booking with captured money.
func (w *world) buy(user string, tickets uint16, card string) (sale.UUID, payment.Receipt) {
	w.t.Helper()
	b := w.hold(user, tickets)
	r := w.start(b)
	w.card(r.Intent, card)
	w.settle()
	return b, r
}

// news are the events of the provider that nobody was told of.
func (w *world) news() []stripesim.Event { return w.sim.Events()[w.told:] }

// lose makes the provider's news go astray for good.
func (w *world) lose() { w.told = len(w.sim.Events()) }

// tell delivers the news in their order.
func (w *world) tell() int {
	w.t.Helper()
	news := w.news()
	w.lose()
	for _, e := range news {
		w.post(e)
	}
	return len(news)
}

// workOff lets the workers do what is due.
func (w *world) workOff() int {
	w.t.Helper()
	n, err := w.workers.WorkOff(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// settle lets everything run until nothing is left to do.
func (w *world) settle() {
	w.t.Helper()
	for still, end := 0, time.Now().Add(25*time.Second); still < 2; {
		busy := w.tell() + w.run() + w.workOff()
		switch {
		case busy == 0 && w.pending() == 0:
			still++
		case time.Now().After(end):
			w.t.Fatalf("it does not settle: %s", w.open())
		case busy == 0:
			still = 0
			time.Sleep(2 * time.Millisecond)
		default:
			still = 0
		}
	}
}

// open names what is left to do, and why.
func (w *world) open() string {
	w.t.Helper()
	return one[string](w, `SELECT coalesce(string_agg(what || ': ' || why, '; '), '') FROM (
		SELECT kind || ' ' || cause || ' ' || status, last_error FROM outbox WHERE status <> 'done'
		UNION ALL SELECT id || ' ' || type, last_error FROM webhook_inbox WHERE processed_at IS NULL) o (what, why)`)
}

func (w *world) pending() int {
	return one[int](w, `SELECT (SELECT count(*) FROM outbox WHERE status = 'pending')
		+ (SELECT count(*) FROM webhook_inbox WHERE processed_at IS NULL)`)
}

// crash ends everything at the n-th pass of a point, until restart.
func (w *world) crash(at payment.Point, n int) {
	dead := false
	w.hook.set(func(p payment.Point) error {
		if p == at {
			n--
		}
		if dead = dead || n <= 0; dead {
			return payment.ErrStopped
		}
		return nil
	})
}

// meanwhile does something at the first pass of a point.
func (w *world) meanwhile(at payment.Point, do func()) {
	once := false
	w.hook.set(func(p payment.Point) error {
		if p == at && !once {
			once = true
			do()
		}
		return nil
	})
}

// drop works until the crash that was planned.
func (w *world) drop() {
	w.t.Helper()
	for range 200 {
		w.tell()
		w.run()
		if _, err := w.workers.WorkOff(context.Background()); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Fatal("nothing crashed")
}

// reborn is restart after a crash: leases of the dead have ended.
func (w *world) reborn() {
	w.restart()
	w.exec(`UPDATE outbox SET next_at = now() WHERE status = 'pending'`)
	w.exec(`UPDATE webhook_inbox SET next_at = now() WHERE processed_at IS NULL`)
}

// reconcile compares both sides once, as if a while had passed.
func (w *world) reconcile() []string {
	w.t.Helper()
	w.late.Add(int64(3 * time.Minute))
	report, err := w.workers.Reconcile(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	var found []string
	for _, f := range report.Findings {
		found = append(found, fmt.Sprintf("%s %v", f.Reason, f.Repaired))
	}
	return found
}

// refund gives tickets back by order of the organiser.
func (w *world) refund(booking sale.UUID, back bool, tickets ...uint16) sale.UUID {
	w.t.Helper()
	id, err := w.pay.NewID()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.pay.Refund(context.Background(), payment.RefundRequest{Refund: id, Booking: booking, Tickets: tickets, Return: back}); err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) cancelEvent() {
	w.append(wire.Record{Object: show}, &wire.CancelEvent{})
}

// status reads what became of a booking.
func (w *world) status(booking sale.UUID) string {
	w.t.Helper()
	return one[string](w, `SELECT status FROM bookings WHERE id = $1`, booking)
}

func (w *world) want(booking sale.UUID, status string) {
	w.t.Helper()
	if got := w.status(booking); got != status {
		w.t.Errorf("the booking is %s, want %s", got, status)
	}
}

// charge is the provider's charge of an intent.
func (w *world) charge(intent string) string {
	w.t.Helper()
	for _, c := range w.sim.Charges() {
		if c.Intent == intent && c.Captured {
			return c.ID
		}
	}
	w.t.Fatalf("intent %s has no charge", intent)
	return ""
}

// attempt is the newest attempt of a booking with its payment.
func (w *world) attempt(booking sale.UUID) (store.Payment, store.Attempt) {
	w.t.Helper()
	p, all, ok, err := w.db.AttemptsOf(context.Background(), booking)
	if err != nil || !ok || len(all) == 0 {
		w.t.Fatal(ok, err)
	}
	return p, all[len(all)-1]
}
