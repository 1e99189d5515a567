package bench_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"fairgate/internal/conf"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/payment"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/workers/reconcile"
)

const (
	secretKey = "sk_test_0123456789abcdef"
	eventID   = 7
	price     = 2000
	fee       = 88 // what the simulator keeps of it
	// kinds are the differences that are planted, each as often as the others.
	kinds = 10
)

// year is an account at the provider, and our books about it, with differences that are known. Where settle is given, the
// account converts everything into that currency.
type year struct {
	db      *store.DB
	sim     *stripesim.Sim
	handler http.Handler
	service func(payment.BudgetConfig) *payment.Service
	next    atomic.Uint64
	want    map[string]string // object → reason

	payments, attempts, ledger [][]any
}

func newYear(tb testing.TB, settle string) *year {
	tb.Helper()
	y := &year{want: map[string]string{}}
	var err error
	if y.db, err = store.New(tb.Context(), store.Config{Write: conf.Secret(testpg.Migrated(tb, "schema", store.Migrate))}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(y.db.Close)
	if _, err := y.db.Write.Exec(tb.Context(), `INSERT INTO events (id, organiser_id, merchant_account_id, name, zone, starts_at, ends_at,
			start_date, end_date, currency, partition) VALUES ($1, 1, 1, 'A', 'UTC', now(), now(), current_date, current_date, 'EUR', 0)`, eventID); err != nil {
		tb.Fatal(err)
	}
	if y.sim, err = stripesim.New(stripesim.Config{
		SecretKey: secretKey, PublishableKey: "pk_test_0123456789abcdef", PublicURL: "http://sim.test",
		Rate: stripesim.Rate{Total: -1, PerEndpoint: -1}, MaxEvents: 1000, Settle: settle,
	}, stripesim.Deps{}); err != nil {
		tb.Fatal(err)
	}
	y.handler = y.sim.Handler()
	srv := httptest.NewServer(y.handler)
	tb.Cleanup(func() {
		srv.Close()
		if err := y.sim.Close(); err != nil {
			tb.Error(err)
		}
	})
	log := testkafka.Log(tb)
	orders := log.Producer(testkafka.Topic(tb, log, "orders", 1))
	y.service = func(budget payment.BudgetConfig) *payment.Service {
		stripe, err := payment.NewStripe(payment.StripeConfig{SecretKey: secretKey, URL: srv.URL, Budget: budget}, payment.StripeDeps{})
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(stripe.Close)
		s, err := payment.NewService(payment.Config{}, payment.Deps{Store: y.db, Stripe: stripe, Orders: orders})
		if err != nil {
			tb.Fatal(err)
		}
		return s
	}
	return y
}

// fill makes n payments, of which wrong differ, as many of each kind.
func (y *year) fill(tb testing.TB, n, wrong int) {
	tb.Helper()
	for range n - wrong {
		y.sold(tb)
	}
	for range wrong / kinds {
		for kind := range kinds {
			y.plant(tb, kind)
		}
	}
	y.flush(tb)
}

// plant makes one payment that differs.
func (y *year) plant(tb testing.TB, kind int) {
	switch kind {
	case 0: // the webhook was lost: authorised there, open here
		i, charge := y.paid(tb, "manual")
		_, _ = y.row("started", "open", i, charge)
		y.want[i] = reconcile.MissedWebhook
	case 1: // the obligation to capture was lost
		i, charge := y.paid(tb, "manual")
		_, _ = y.row("confirmed", "confirmed", i, charge)
		y.want[i] = reconcile.ForgottenCapture
	case 2: // authorised for nobody
		i, _ := y.paid(tb, "manual")
		y.want[i] = reconcile.StrayIntent
	case 3: // posted less than was taken
		i, charge := y.paid(tb, "automatic")
		booking, _ := y.row("captured", "captured", i, charge)
		y.post("capture:"+charge, "EUR", booking, "provider", "sales", price-100)
		y.want[charge] = reconcile.AmountDiffers
	case 4: // two attempts of one booking were captured
		booking := y.sold(tb)
		i, charge := y.paid(tb, "automatic")
		y.attempts = append(y.attempts, []any{y.id(), booking.payment, 2, i, charge, "captured"})
		y.post("capture:"+charge, "EUR", booking.id, "provider", "sales", price)
		y.want[booking.id.String()] = reconcile.TakenTwice
	case 5: // somebody refunded in the dashboard
		b := y.sold(tb)
		re, err := y.sim.GiveBack(b.intent, 500)
		if err != nil {
			tb.Fatal(err)
		}
		y.want[re] = reconcile.RefundNotPosted
	case 6: // posted a refund that never was
		fact := "refund:re_ghost" + strconv.FormatUint(y.next.Add(1), 10)
		y.post(fact, "EUR", y.sold(tb).id, "refunds", "provider", 500)
		y.want[fact] = reconcile.NotAtProvider
	case 7: // posted a capture that never was
		n := strconv.FormatUint(y.next.Add(1), 10)
		booking, _ := y.row("captured", "captured", "pi_ghost"+n, "ch_ghost"+n)
		y.post("capture:ch_ghost"+n, "EUR", booking, "provider", "sales", price)
		y.want["capture:ch_ghost"+n] = reconcile.CaptureNotAtProvider
	case 8: // taken, and no row says for what
		i, _ := y.paid(tb, "automatic")
		y.want[i] = reconcile.PaidWithoutRow
	case 9:
		y.plantCurrencyOrFee(tb)
	}
}

// plantCurrencyOrFee posts another currency, or another fee, by turns.
func (y *year) plantCurrencyOrFee(tb testing.TB) {
	i, charge := y.paid(tb, "automatic")
	booking, _ := y.row("captured", "captured", i, charge)
	if y.next.Add(1)%2 == 0 {
		y.post("capture:"+charge, "USD", booking, "provider", "sales", price)
		y.want[charge] = reconcile.CurrencyDiffers
		return
	}
	y.post("capture:"+charge, "EUR", booking, "provider", "sales", price)
	txn := y.transaction(tb, charge)
	y.post("cost:"+txn, "EUR", booking, "costs", "provider", fee-1)
	y.want[txn] = reconcile.FeeDiffers
}

// booking is a payment that is in order.
type booking struct {
	id, payment sale.UUID
	intent      string
}

func (y *year) sold(tb testing.TB) booking {
	i, charge := y.paid(tb, "automatic")
	id, row := y.row("captured", "captured", i, charge)
	y.post("capture:"+charge, "EUR", id, "provider", "sales", price)
	return booking{id, row, i}
}

// paid is a PaymentIntent that was confirmed with a good card.
func (y *year) paid(tb testing.TB, capture string) (intent, charge string) {
	tb.Helper()
	var pi struct {
		ID     string `json:"id"`
		Charge string `json:"latest_charge"`
	}
	y.call(tb, http.MethodPost, "/v1/payment_intents", "amount="+strconv.Itoa(price)+"&currency=eur&payment_method_types[0]=card&"+
		"payment_method=pm_card_visa&confirm=true&capture_method="+capture, &pi)
	return pi.ID, pi.Charge
}

// transaction is the movement of a charge.
func (y *year) transaction(tb testing.TB, charge string) string {
	tb.Helper()
	var ch struct {
		Transaction string `json:"balance_transaction"`
	}
	y.call(tb, http.MethodGet, "/v1/charges/"+charge, "", &ch)
	return ch.Transaction
}

func (y *year) call(tb testing.TB, method, path, body string, into any) {
	tb.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secretKey)
	w := httptest.NewRecorder()
	y.handler.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), into); err != nil || w.Code != http.StatusOK {
		tb.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
}

func (y *year) id() (u sale.UUID) {
	n := y.next.Add(1)
	for i := range 8 {
		u[15-i] = byte(n >> (8 * i))
	}
	u[6], u[8] = 0x70, 0x80|u[8]
	return u
}

// row is a payment with one attempt.
func (y *year) row(status, attempt, intent, charge string) (bookingID, paymentID sale.UUID) {
	bookingID, paymentID = y.id(), y.id()
	y.payments = append(y.payments, []any{paymentID, bookingID, int64(eventID), int64(1), "fan", int64(price), "EUR", status})
	y.attempts = append(y.attempts, []any{y.id(), paymentID, 1, intent, charge, attempt})
	return bookingID, paymentID
}

// post is a posting of two entries.
func (y *year) post(fact, currency string, booking sale.UUID, debit, credit string, amount int64) {
	y.ledger = append(y.ledger, []any{fact, int16(0), debit, amount, currency, int64(1), int64(eventID), booking},
		[]any{fact, int16(1), credit, -amount, currency, int64(1), int64(eventID), booking})
}

// flush writes the rows that were made.
func (y *year) flush(tb testing.TB) {
	tb.Helper()
	for _, t := range []struct {
		table   string
		columns string
		rows    [][]any
	}{
		{"payments", "id booking_id event_id merchant_account_id user_id amount currency status", y.payments},
		{"payment_attempts", "id payment_id number intent charge status", y.attempts},
		{"ledger", "fact entry account amount currency merchant_account_id event_id booking_id", y.ledger},
	} {
		if _, err := y.db.Write.CopyFrom(tb.Context(), pgx.Identifier{t.table}, strings.Fields(t.columns), pgx.CopyFromRows(t.rows)); err != nil {
			tb.Fatal(err)
		}
	}
	if _, err := y.db.Write.Exec(tb.Context(), `ANALYZE payments, payment_attempts, ledger`); err != nil {
		tb.Fatal(err)
	}
	y.payments, y.attempts, y.ledger = nil, nil, nil
}

// reconcile runs once, an hour later, so that everything has settled.
func (y *year) reconcile(tb testing.TB, budget payment.BudgetConfig) reconcile.Report {
	tb.Helper()
	r, err := reconcile.New(reconcile.Config{}, reconcile.Deps{
		Store: y.db, Payments: y.service(budget), Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	rep, err := r.Run(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return rep
}

// judge counts the differences that were found for their reason, and findings that are none or come twice.
func (y *year) judge(tb testing.TB, rep reconcile.Report) (found, wrong int) {
	tb.Helper()
	seen := map[string]bool{}
	for _, f := range rep.Findings {
		if y.want[f.Object] != f.Reason || seen[f.Object] {
			if wrong++; wrong < 10 {
				tb.Logf("false: %+v, want %q", f, y.want[f.Object])
			}
			continue
		}
		seen[f.Object] = true
		found++
	}
	missing := 0
	for object, reason := range y.want {
		if !seen[object] && missing < 10 {
			missing++
			tb.Logf("missing: %s %s", object, reason)
		}
	}
	return found, wrong + rep.Dropped
}

// unrepair makes the books as wrong as they were; the fees stay posted.
func (y *year) unrepair(tb testing.TB) {
	tb.Helper()
	for _, sql := range []string{`UPDATE payment_attempts SET status = 'open' WHERE status = 'authorised'`, `DELETE FROM outbox`} {
		if _, err := y.db.Write.Exec(context.Background(), sql); err != nil {
			tb.Fatal(fmt.Errorf("%s: %w", sql, err))
		}
	}
}
