package stripesim

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

const (
	secretKey      = "sk_test_0123456789abcdef"
	publishableKey = "pk_test_0123456789abcdef"
	webhookSecret  = "whsec_0123456789abcdef"
	shop           = "https://shop.example"
)

// bench is a simulator behind a real server, with stripe-go in front of it and a clock in hand.
type bench struct {
	*Sim
	t       *testing.T
	api     *client.API
	server  *httptest.Server
	ahead   *atomic.Int64 // nanoseconds that the clock is ahead
	cfg     Config
	deps    Deps
	handler atomic.Value
}

func newBench(t *testing.T, change func(*Config, *Deps)) *bench {
	t.Helper()
	b := &bench{t: t, ahead: new(atomic.Int64)}
	b.server = httptest.NewServer(recorded.Wrap(t.Name(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.handler.Load().(http.Handler).ServeHTTP(w, r)
	})))
	t.Cleanup(b.server.Close)
	b.cfg = Config{
		SecretKey: secretKey, PublishableKey: publishableKey, PublicURL: b.server.URL,
		AllowedReturnOrigins: []string{shop}, Rate: Rate{-1, -1}, SearchLag: -1, WebhookBackoff: time.Millisecond,
		WebhookMaxWait: 5 * time.Millisecond,
	}
	b.deps = Deps{Clock: func() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }}
	if change != nil {
		change(&b.cfg, &b.deps)
	}
	sim, err := New(b.cfg, b.deps)
	if err != nil {
		t.Fatal(err)
	}
	b.Sim = sim
	b.handler.Store(sim.Handler())
	t.Cleanup(func() { b.Sim.Close() })
	b.api = b.client(secretKey)
	return b
}

func (b *bench) client(key string) *client.API {
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(b.server.URL), MaxNetworkRetries: stripe.Int64(0), LeveledLogger: &stripe.LeveledLogger{Level: 0},
		HTTPClient: b.server.Client(),
	})
	return client.New(key, &stripe.Backends{API: backend, Connect: backend, Uploads: backend})
}

func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	b.ahead.Add(int64(d))
	if err := b.Tick(); err != nil {
		b.t.Fatal(err)
	}
}

// order is what our shop asks for: cards only, captured later.
func order(amount int64, code string) *stripe.PaymentIntentParams {
	p := &stripe.PaymentIntentParams{
		Amount: stripe.Int64(amount), Currency: stripe.String(code), CaptureMethod: stripe.String("manual"),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	}
	p.AddMetadata("booking", "b1")
	return p
}

func paidWith(p *stripe.PaymentIntentParams, method string) *stripe.PaymentIntentParams {
	p.PaymentMethod, p.Confirm = stripe.String(method), stripe.Bool(true)
	return p
}

func (b *bench) create(p *stripe.PaymentIntentParams) *stripe.PaymentIntent {
	b.t.Helper()
	return must(b.t)(b.api.PaymentIntents.New(p))
}

func must(t *testing.T) func(*stripe.PaymentIntent, error) *stripe.PaymentIntent {
	return func(pi *stripe.PaymentIntent, err error) *stripe.PaymentIntent {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return pi
	}
}

// wantError checks status, type and code of an API error and returns it.
func wantError(t *testing.T, err error, status int, kind, code string) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an API error", err)
	}
	if e.HTTPStatusCode != status || string(e.Type) != kind || string(e.Code) != code {
		t.Fatalf("got %d %s %q (%s), want %d %s %q", e.HTTPStatusCode, e.Type, e.Code, e.Msg, status, kind, code)
	}
	return e
}

func eventTypes(s *Sim) string {
	var out []string
	for _, e := range s.Events() {
		out = append(out, e.Type)
	}
	return strings.Join(out, " ")
}

func TestSale_AuthoriseThenCapture(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(5000, "usd"))
	if pi.Status != stripe.PaymentIntentStatusRequiresPaymentMethod || pi.Metadata["booking"] != "b1" ||
		!strings.HasPrefix(pi.ID, "pi_") || !strings.HasPrefix(pi.ClientSecret, pi.ID+"_secret_") || pi.LatestCharge != nil {
		t.Fatalf("created: %+v", pi)
	}
	pi = must(t)(b.api.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")}))
	if pi.Status != stripe.PaymentIntentStatusRequiresCapture || pi.AmountCapturable != 5000 || pi.AmountReceived != 0 {
		t.Fatalf("authorised: %s %d %d", pi.Status, pi.AmountCapturable, pi.AmountReceived)
	}
	if sum := b.Totals()["usd"]; sum.Authorised != 5000 || sum.Captured != 0 {
		t.Fatalf("totals %+v", sum)
	}
	capture := &stripe.PaymentIntentCaptureParams{}
	capture.AddExpand("latest_charge.balance_transaction")
	pi = must(t)(b.api.PaymentIntents.Capture(pi.ID, capture))
	ch := pi.LatestCharge
	if pi.Status != stripe.PaymentIntentStatusSucceeded || pi.AmountReceived != 5000 || !ch.Captured || ch.AmountCaptured != 5000 {
		t.Fatalf("captured: %s %+v", pi.Status, ch)
	}
	if txn := ch.BalanceTransaction; txn.Amount != 5000 || txn.Fee != 175 || txn.Net != 4825 || txn.Type != "charge" || txn.Source.ID != ch.ID {
		t.Fatalf("transaction %+v", txn)
	}
	want := "payment_intent.created charge.succeeded payment_intent.amount_capturable_updated charge.captured payment_intent.succeeded"
	if got := eventTypes(b.Sim); got != want {
		t.Fatalf("events\n%s\nwant\n%s", got, want)
	}
}

func TestCapture_PartReleasesTheRest(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(paidWith(order(5000, "eur"), "pm_card_visa"))
	_, err := b.api.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(5001)})
	wantError(t, err, 400, "invalid_request_error", "amount_too_large")
	pi = must(t)(b.api.PaymentIntents.Capture(pi.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(3000)}))
	if pi.AmountReceived != 3000 || pi.AmountCapturable != 0 {
		t.Fatalf("%+v", pi)
	}
	ch, err := b.api.Charges.Get(pi.LatestCharge.ID, nil)
	if err != nil || ch.AmountCaptured != 3000 || ch.AmountRefunded != 2000 || ch.Refunded {
		t.Fatalf("%v %+v", err, ch)
	}
	if sum := b.Totals()["eur"]; sum.Captured != 3000 || sum.Refunded != 0 {
		t.Fatalf("a release is no refund of money: %+v", sum)
	}
	_, err = b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID, Amount: stripe.Int64(3001)})
	wantError(t, err, 400, "invalid_request_error", "")
}

func TestState_UnexpectedMovesAreRefused(t *testing.T) {
	b := newBench(t, nil)
	const code = "payment_intent_unexpected_state"
	open := b.create(order(1000, "usd"))
	_, err := b.api.PaymentIntents.Capture(open.ID, nil)
	if e := wantError(t, err, 400, "invalid_request_error", code); e.PaymentIntent == nil || e.PaymentIntent.ID != open.ID {
		t.Fatalf("the intent is missing from %+v", e)
	}
	_, err = b.api.PaymentIntents.Confirm(open.ID, nil)
	wantError(t, err, 400, "invalid_request_error", code)
	held := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	_, err = b.api.PaymentIntents.Confirm(held.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
	wantError(t, err, 400, "invalid_request_error", code)
	_, err = b.api.PaymentIntents.Update(held.ID, &stripe.PaymentIntentParams{Amount: stripe.Int64(2000)})
	wantError(t, err, 400, "invalid_request_error", code)
	must(t)(b.api.PaymentIntents.Capture(held.ID, nil))
	_, err = b.api.PaymentIntents.Capture(held.ID, nil)
	wantError(t, err, 400, "invalid_request_error", code)
	_, err = b.api.PaymentIntents.Cancel(held.ID, nil)
	wantError(t, err, 400, "invalid_request_error", code)
	must(t)(b.api.PaymentIntents.Cancel(open.ID, nil))
	_, err = b.api.PaymentIntents.Cancel(open.ID, nil)
	wantError(t, err, 400, "invalid_request_error", code)
	_, err = b.api.PaymentIntents.Get("pi_nothing", nil)
	wantError(t, err, 404, "invalid_request_error", "resource_missing")
}

func TestUpdate_ChangesWhatIsOpen(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	p := &stripe.PaymentIntentParams{Amount: stripe.Int64(1500), PaymentMethod: stripe.String("pm_card_visa"), Description: stripe.String("two seats")}
	p.AddMetadata("try", "2")
	p.AddMetadata("booking", "")
	pi = must(t)(b.api.PaymentIntents.Update(pi.ID, p))
	if pi.Amount != 1500 || pi.Status != stripe.PaymentIntentStatusRequiresConfirmation || pi.Description != "two seats" ||
		pi.Metadata["try"] != "2" || len(pi.Metadata) != 1 {
		t.Fatalf("%+v", pi)
	}
}

func TestDecline_LeavesTheIntentOpenForAnotherCard(t *testing.T) {
	b := newBench(t, nil)
	_, err := b.api.PaymentIntents.New(paidWith(order(1000, "usd"), "pm_card_chargeDeclinedInsufficientFunds"))
	e := wantError(t, err, 402, "card_error", "card_declined")
	if e.DeclineCode != "insufficient_funds" || e.PaymentIntent == nil || !strings.HasPrefix(e.ChargeID, "ch_") {
		t.Fatalf("%+v", e)
	}
	pi := must(t)(b.api.PaymentIntents.Get(e.PaymentIntent.ID, nil))
	if pi.Status != stripe.PaymentIntentStatusRequiresPaymentMethod || pi.LastPaymentError.DeclineCode != "insufficient_funds" ||
		pi.LastPaymentError.PaymentMethod == nil || pi.PaymentMethod != nil || pi.LatestCharge.ID != e.ChargeID {
		t.Fatalf("%+v", pi)
	}
	pi = must(t)(b.api.PaymentIntents.Confirm(pi.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_mastercard")}))
	if pi.Status != stripe.PaymentIntentStatusRequiresCapture || pi.LastPaymentError != nil {
		t.Fatalf("%+v", pi)
	}
	charges := 0
	for it := b.api.Charges.List(&stripe.ChargeListParams{PaymentIntent: &pi.ID}); it.Next(); charges++ {
		if paid := it.Charge().ID != e.ChargeID; it.Charge().Paid != paid {
			t.Fatalf("charge %+v", it.Charge())
		}
	}
	if charges != 2 {
		t.Fatalf("%d charges, want the failed and the good one", charges)
	}
	_, err = b.api.PaymentIntents.New(paidWith(order(1000, "usd"), "pm_card_nobody"))
	wantError(t, err, 400, "invalid_request_error", "resource_missing")
}

func TestCancel_ReleasesAnAuthorisation(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	pi = must(t)(b.api.PaymentIntents.Cancel(pi.ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("abandoned")}))
	if pi.Status != stripe.PaymentIntentStatusCanceled || pi.AmountCapturable != 0 || pi.CancellationReason != "abandoned" || pi.CanceledAt == 0 {
		t.Fatalf("%+v", pi)
	}
	ch, err := b.api.Charges.Get(pi.LatestCharge.ID, nil)
	if err != nil || !ch.Refunded || ch.Captured || ch.BalanceTransaction != nil {
		t.Fatalf("%v %+v", err, ch)
	}
	if sum := b.Totals()["usd"]; sum != (Totals{}) {
		t.Fatalf("money moved: %+v", sum)
	}
}

func TestAuthorisation_LapsesAfterSevenDays(t *testing.T) {
	b := newBench(t, nil)
	lost := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	kept := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	must(t)(b.api.PaymentIntents.Capture(kept.ID, nil))
	b.ahead.Add(int64(authorisationLife))
	_, err := b.api.PaymentIntents.Capture(lost.ID, nil)
	wantError(t, err, 400, "invalid_request_error", "charge_expired_for_capture")
	b.pass(0)
	pi := must(t)(b.api.PaymentIntents.Get(lost.ID, nil))
	if pi.Status != stripe.PaymentIntentStatusCanceled || pi.CancellationReason != "automatic" {
		t.Fatalf("%s %s", pi.Status, pi.CancellationReason)
	}
	if pi := must(t)(b.api.PaymentIntents.Get(kept.ID, nil)); pi.Status != stripe.PaymentIntentStatusSucceeded {
		t.Fatalf("the captured one is %s", pi.Status)
	}
	if !strings.Contains(eventTypes(b.Sim), "charge.expired") {
		t.Fatal("no charge.expired")
	}
}

func TestAmount_LimitsPerCurrency(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range []struct {
		amount int64
		code   string
		want   string // error code; empty means accepted
	}{
		{49, "usd", "amount_too_small"}, {50, "usd", ""}, {29, "gbp", "amount_too_small"}, {30, "gbp", ""},
		{49, "jpy", "amount_too_small"}, {50, "jpy", ""}, {12_999, "vnd", "amount_too_small"}, {13_000, "VND", ""},
		{1005, "kwd", "parameter_invalid_integer"}, {1000, "kwd", ""}, {99_999_999, "usd", ""},
		{100_000_000, "usd", "amount_too_large"}, {0, "usd", "parameter_invalid_integer"}, {-5, "usd", "parameter_invalid_integer"},
	} {
		_, err := b.api.PaymentIntents.New(order(c.amount, c.code))
		if c.want == "" && err != nil {
			t.Fatalf("%d %s: %v", c.amount, c.code, err)
		}
		if c.want != "" {
			wantError(t, err, 400, "invalid_request_error", c.want)
		}
	}
	_, err := b.api.PaymentIntents.New(order(1000, "xxx"))
	wantError(t, err, 400, "invalid_request_error", "")
}

func TestMoney_ReadsAsPeopleWriteIt(t *testing.T) {
	for _, c := range []struct {
		amount int64
		code   string
		want   string
	}{
		{5, "usd", "0.05 USD"}, {123456789, "usd", "1,234,567.89 USD"}, {1500, "jpy", "1,500 JPY"},
		{650000, "vnd", "650,000 VND"}, {12340, "kwd", "12.340 KWD"}, {-100, "eur", "-1.00 EUR"},
	} {
		if got := formatMoney(c.amount, c.code); got != c.want {
			t.Errorf("%d %s: %q, want %q", c.amount, c.code, got, c.want)
		}
	}
}

func TestParams_UnknownAndMalformedAreRefused(t *testing.T) {
	b := newBench(t, nil)
	p := order(1000, "usd")
	p.AddExtra("amout", "5")
	_, err := b.api.PaymentIntents.New(p)
	if e := wantError(t, err, 400, "invalid_request_error", "parameter_unknown"); e.Param != "amout" {
		t.Fatalf("param %q", e.Param)
	}
	p = order(1000, "usd")
	p.AddExpand("latest_charge.nonsense")
	_, err = b.api.PaymentIntents.New(p)
	wantError(t, err, 400, "invalid_request_error", "")
	if n := len(b.PaymentIntents()); n != 0 {
		t.Fatalf("%d intents came of refused requests", n)
	}
	p = order(1000, "usd")
	p.AddMetadata("long", strings.Repeat("x", 501))
	_, err = b.api.PaymentIntents.New(p)
	wantError(t, err, 400, "invalid_request_error", "")
	_, err = b.api.PaymentIntents.New(&stripe.PaymentIntentParams{Currency: stripe.String("usd")})
	wantError(t, err, 400, "invalid_request_error", "parameter_missing")
}

func TestAuth_OnlyOurKeys(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(order(1000, "usd"))
	_, err := b.client("sk_test_somebody_else").PaymentIntents.Get(pi.ID, nil)
	wantError(t, err, 401, "invalid_request_error", "")
	_, err = b.client(publishableKey).PaymentIntents.Cancel(pi.ID, nil)
	wantError(t, err, 401, "invalid_request_error", "secret_key_required")
	account, err := b.api.Accounts.Get()
	if err != nil || !strings.HasPrefix(account.ID, "acct_") || !account.ChargesEnabled {
		t.Fatalf("%v %+v", err, account)
	}
}

func TestShopper_ConfirmsWithPublishableKeyAndClientSecret(t *testing.T) {
	b := newBench(t, nil)
	pi, shopper := b.create(order(1000, "usd")), b.client(publishableKey)
	confirm := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")}
	_, err := shopper.PaymentIntents.Confirm(pi.ID, confirm)
	wantError(t, err, 400, "invalid_request_error", "payment_intent_invalid_parameter")
	confirm = &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")}
	confirm.AddExtra("client_secret", pi.ClientSecret)
	seen := must(t)(shopper.PaymentIntents.Confirm(pi.ID, confirm))
	if seen.Status != stripe.PaymentIntentStatusRequiresCapture || len(seen.Metadata) != 0 || seen.LatestCharge != nil {
		t.Fatalf("a shopper sees %+v", seen)
	}
	get := &stripe.PaymentIntentParams{ClientSecret: &pi.ClientSecret}
	if seen = must(t)(shopper.PaymentIntents.Get(pi.ID, get)); seen.ID != pi.ID {
		t.Fatalf("%+v", seen)
	}
}

func TestCard_OneNumberHasOneFingerprintWhichShoppersDoNotSee(t *testing.T) {
	b := newBench(t, nil)
	print := func(method string) string {
		get := &stripe.PaymentIntentParams{}
		get.AddExpand("payment_method")
		get.AddExpand("latest_charge")
		pi := must(t)(b.api.PaymentIntents.Get(b.create(paidWith(order(1000, "usd"), method)).ID, get))
		card := pi.PaymentMethod.Card.Fingerprint
		if card == "" || pi.LatestCharge.PaymentMethodDetails.Card.Fingerprint != card {
			t.Errorf("%s has %q, its charge %q", method, card, pi.LatestCharge.PaymentMethodDetails.Card.Fingerprint)
		}
		return card
	}
	if visa := print("pm_card_visa"); print("pm_card_visa") != visa || print("pm_card_mastercard") == visa || print("pm_card_visa_debit") == visa {
		t.Error("fingerprints do not tell numbers apart")
	}
	pi, shopper := b.create(order(1000, "usd")), b.client(publishableKey)
	confirm := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_chargeDeclined")}
	confirm.AddExtra("client_secret", pi.ClientSecret)
	_, err := shopper.PaymentIntents.Confirm(pi.ID, confirm)
	e := wantError(t, err, 402, "card_error", "card_declined")
	if m := e.PaymentMethod; m == nil || m.Card == nil || m.Card.Last4 != "0002" || m.Card.Fingerprint != "" {
		t.Errorf("a shopper is told %+v", m)
	}
}

func TestRefund_NeverMoreThanIsLeft(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_visa"))
	_, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
	wantError(t, err, 400, "invalid_request_error", "")
	must(t)(b.api.PaymentIntents.Capture(pi.ID, nil))
	part := &stripe.RefundParams{PaymentIntent: &pi.ID, Amount: stripe.Int64(400), Reason: stripe.String("requested_by_customer")}
	part.AddMetadata("cause", "c1")
	part.AddExpand("balance_transaction")
	part.AddExpand("charge")
	re, err := b.api.Refunds.New(part)
	if err != nil || re.Status != stripe.RefundStatusSucceeded || re.BalanceTransaction.Net != -400 || re.BalanceTransaction.Fee != 0 ||
		re.Charge.AmountRefunded != 400 || re.Charge.Refunded || re.Metadata["cause"] != "c1" {
		t.Fatalf("%v %+v", err, re)
	}
	_, err = b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID, Amount: stripe.Int64(601)})
	wantError(t, err, 400, "invalid_request_error", "")
	rest, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
	if err != nil || rest.Amount != 600 {
		t.Fatalf("%v %+v", err, rest)
	}
	_, err = b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
	wantError(t, err, 400, "invalid_request_error", "charge_already_refunded")
	update := &stripe.RefundParams{}
	update.AddMetadata("cause", "c2")
	if re, err = b.api.Refunds.Update(re.ID, update); err != nil || re.Metadata["cause"] != "c2" {
		t.Fatalf("%v %+v", err, re)
	}
	n := 0
	for it := b.api.Refunds.List(&stripe.RefundListParams{PaymentIntent: &pi.ID}); it.Next(); n++ {
	}
	if sum := b.Totals()["usd"]; n != 2 || sum.Refunded != 1000 || sum.Net != -sum.Fees {
		t.Fatalf("%d refunds, %+v", n, sum)
	}
}

func TestRefund_PendingAndFailing(t *testing.T) {
	b := newBench(t, nil)
	refund := func(method string) *stripe.Refund {
		t.Helper()
		pi := b.create(paidWith(order(1000, "usd"), method))
		must(t)(b.api.PaymentIntents.Capture(pi.ID, nil))
		re, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
		if err != nil {
			t.Fatal(err)
		}
		return re
	}
	pending, failing := refund("pm_card_pendingRefund"), refund("pm_card_refundFail")
	if pending.Status != stripe.RefundStatusPending || failing.Status != stripe.RefundStatusSucceeded {
		t.Fatalf("%s %s", pending.Status, failing.Status)
	}
	b.pass(3 * time.Second)
	pending, _ = b.api.Refunds.Get(pending.ID, nil)
	failing, _ = b.api.Refunds.Get(failing.ID, nil)
	if pending.Status != stripe.RefundStatusSucceeded || failing.Status != stripe.RefundStatusFailed || failing.FailureBalanceTransaction == nil {
		t.Fatalf("%s %s", pending.Status, failing.Status)
	}
	if sum := b.Totals()["usd"]; sum.Captured != 2000 || sum.Refunded != 1000 {
		t.Fatalf("%+v", sum)
	}
	if ch, _ := b.api.Charges.Get(failing.Charge.ID, nil); ch.AmountRefunded != 0 {
		t.Fatalf("a failed refund can be tried again: %+v", ch)
	}
}

func TestDispute_WithdrawsAndMayGiveBack(t *testing.T) {
	b := newBench(t, nil)
	pi := b.create(paidWith(order(1000, "usd"), "pm_card_createDispute"))
	must(t)(b.api.PaymentIntents.Capture(pi.ID, nil))
	it := b.api.Disputes.List(&stripe.DisputeListParams{PaymentIntent: &pi.ID})
	if !it.Next() || it.Dispute().Status != stripe.DisputeStatusNeedsResponse || it.Dispute().EvidenceDetails.DueBy == 0 {
		t.Fatalf("%v %+v", it.Err(), it.Dispute())
	}
	_, err := b.api.Refunds.New(&stripe.RefundParams{PaymentIntent: &pi.ID})
	wantError(t, err, 400, "invalid_request_error", "charge_disputed")
	won, err := b.api.Disputes.Update(it.Dispute().ID, &stripe.DisputeParams{
		Evidence: &stripe.DisputeEvidenceParams{UncategorizedText: stripe.String("winning_evidence")},
	})
	if err != nil || won.Status != stripe.DisputeStatusWon || len(won.BalanceTransactions) != 2 || b.Totals()["usd"].Disputed != 0 {
		t.Fatalf("%v %+v", err, won)
	}
	other := b.create(paidWith(order(2000, "usd"), "pm_card_visa"))
	must(t)(b.api.PaymentIntents.Capture(other.ID, nil))
	id, err := b.OpenDispute(other.LatestCharge.ID, "fraudulent")
	if err != nil {
		t.Fatal(err)
	}
	lost, err := b.api.Disputes.Close(id, nil)
	if err != nil || lost.Status != stripe.DisputeStatusLost || b.Totals()["usd"].Disputed != 2000 {
		t.Fatalf("%v %+v", err, lost)
	}
	if !strings.Contains(eventTypes(b.Sim), "charge.dispute.funds_reinstated charge.dispute.closed") {
		t.Fatal(eventTypes(b.Sim))
	}
}

func TestLists_PageThroughEverythingNewestFirst(t *testing.T) {
	b := newBench(t, nil)
	var made []string
	for range 25 {
		made = append(made, b.create(paidWith(order(1000, "usd"), "pm_card_visa")).ID)
	}
	p := &stripe.PaymentIntentListParams{}
	p.Limit = stripe.Int64(7)
	p.AddExpand("data.latest_charge")
	i := len(made)
	for it := b.api.PaymentIntents.List(p); it.Next(); {
		i--
		if it.PaymentIntent().ID != made[i] || it.PaymentIntent().LatestCharge.Amount != 1000 {
			t.Fatalf("at %d: %+v", i, it.PaymentIntent())
		}
	}
	if i != 0 {
		t.Fatalf("%d intents missing", i)
	}
	back := &stripe.PaymentIntentListParams{}
	back.EndingBefore, back.Limit, back.Single = stripe.String(made[10]), stripe.Int64(3), true
	it := b.api.PaymentIntents.List(back)
	it.Next()
	list := it.PaymentIntentList()
	if !list.HasMore || len(list.Data) != 3 {
		t.Fatalf("%+v %v", list, it.Err())
	}
	ids := map[string]bool{}
	for _, pi := range list.Data {
		ids[pi.ID] = true
	}
	if !ids[made[11]] || !ids[made[12]] || !ids[made[13]] {
		t.Fatalf("before %s came %v", made[10], ids)
	}
	types := &stripe.EventListParams{Types: stripe.StringSlice([]string{"payment_intent.amount_capturable_updated"})}
	types.Filters.AddFilter("created", "gte", "1")
	n := 0
	for it := b.api.Events.List(types); it.Next(); n++ {
		if it.Event().Type != "payment_intent.amount_capturable_updated" || it.Event().APIVersion != stripe.APIVersion {
			t.Fatalf("%+v", it.Event())
		}
	}
	one, err := b.api.Events.Get(b.Events()[0].ID, nil)
	if n != 25 || err != nil || one.Type != "payment_intent.created" {
		t.Fatalf("%d events, %v %+v", n, err, one)
	}
	none := b.api.PaymentIntents.List(&stripe.PaymentIntentListParams{ListParams: stripe.ListParams{StartingAfter: stripe.String("pi_no")}})
	none.Next()
	wantError(t, none.Err(), 400, "invalid_request_error", "resource_missing")
}

func TestSearch_FindsByMetadataAndLags(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.SearchLag = time.Second })
	want := order(1000, "usd")
	want.AddMetadata("booking", "it's")
	want.Metadata["booking"] = "b2"
	pi := b.create(want)
	b.create(order(1000, "usd"))
	find := func(query string) (found []string) {
		t.Helper()
		p := &stripe.PaymentIntentSearchParams{SearchParams: stripe.SearchParams{Query: query}}
		it := b.api.PaymentIntents.Search(p)
		for it.Next() {
			found = append(found, it.PaymentIntent().ID)
		}
		if it.Err() != nil {
			t.Fatal(it.Err())
		}
		return found
	}
	if found := find("metadata['booking']:'b2'"); len(found) != 0 {
		t.Fatalf("search saw what is only just made: %v", found)
	}
	b.pass(3 * time.Second)
	if found := find(`metadata["booking"]:"b2" AND status:'requires_payment_method' AND amount>999`); len(found) != 1 || found[0] != pi.ID {
		t.Fatalf("%v", found)
	}
	if found := find("-metadata['booking']:'b2'"); len(found) != 1 || found[0] == pi.ID {
		t.Fatalf("%v", found)
	}
}

func TestBalanceTransactions_ByTypeAndSource(t *testing.T) {
	b := newBench(t, nil)
	p := paidWith(order(1000, "jpy"), "pm_card_visa")
	p.CaptureMethod = nil
	pi := b.create(p)
	if pi.Status != stripe.PaymentIntentStatusSucceeded {
		t.Fatal(pi.Status)
	}
	if _, err := b.api.Refunds.New(&stripe.RefundParams{Charge: &pi.LatestCharge.ID}); err != nil {
		t.Fatal(err)
	}
	list := &stripe.BalanceTransactionListParams{Type: stripe.String("charge")}
	list.AddExpand("data.source")
	it := b.api.BalanceTransactions.List(list)
	if !it.Next() || it.BalanceTransaction().Source.Charge.PaymentIntent.ID != pi.ID || it.BalanceTransaction().Status != "pending" {
		t.Fatalf("%v %+v", it.Err(), it.BalanceTransaction())
	}
	txn, err := b.api.BalanceTransactions.Get(it.BalanceTransaction().ID, nil)
	if err != nil || txn.Net != 1000-29-30 {
		t.Fatalf("%v %+v", err, txn)
	}
	balance, err := b.api.Balance.Get(nil)
	if err != nil || balance.Pending[0].Amount != txn.Net || balance.Available[0].Amount != -1000 {
		t.Fatalf("%v %+v", err, balance)
	}
}

func TestBalanceTransactions_AreConvertedWhereTheAccountHasOneCurrency(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Settle = "usd" })
	pi := b.create(paidWith(order(2000, "eur"), "pm_card_visa"))
	must(t)(b.api.PaymentIntents.Capture(pi.ID, nil))
	it := b.api.BalanceTransactions.List(&stripe.BalanceTransactionListParams{})
	if !it.Next() {
		t.Fatal(it.Err())
	}
	if v := it.BalanceTransaction(); v.Currency != "usd" || v.ExchangeRate != 1.0837 || v.Amount != 2167 || v.Net != 2167-95 {
		t.Fatalf("%+v", v)
	}
	if pi := b.intent(pi.ID); pi.Currency != "eur" || pi.AmountReceived != 2000 {
		t.Fatalf("%+v", pi)
	}
}

func TestRate_PerEndpointAndTotal(t *testing.T) {
	b := newBench(t, func(c *Config, d *Deps) {
		c.Rate = Rate{Total: 6, PerEndpoint: 4}
		var ahead atomic.Int64
		start := time.Now()
		d.Clock = func() time.Time { return start.Add(time.Duration(ahead.Load())) }
	})
	for range 4 {
		b.create(order(1000, "usd"))
	}
	_, err := b.api.PaymentIntents.New(order(1000, "usd"))
	wantError(t, err, 429, "invalid_request_error", "rate_limit")
	for range 2 {
		if _, err := b.api.Accounts.Get(); err != nil {
			t.Fatal(err)
		}
	}
	_, err = b.api.Accounts.Get()
	wantError(t, err, 429, "invalid_request_error", "rate_limit")
}

func TestConcurrency_CreateConfirmCaptureKeepsTheSum(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.Dir = t.TempDir() })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				pi, err := b.api.PaymentIntents.New(paidWith(order(1000, "usd"), "pm_card_visa"))
				if err != nil {
					t.Error(err)
					return
				}
				var races sync.WaitGroup
				var won atomic.Int32
				for range 2 {
					races.Go(func() {
						if _, err := b.api.PaymentIntents.Capture(pi.ID, nil); err == nil {
							won.Add(1)
						}
					})
				}
				races.Go(func() {
					if _, err := b.api.PaymentIntents.Cancel(pi.ID, nil); err == nil {
						won.Add(1)
					}
				})
				races.Wait()
				if won.Load() != 1 {
					t.Errorf("%d of two captures and a cancel succeeded", won.Load())
				}
			}
		})
	}
	wg.Wait()
	var received int64
	for _, pi := range b.PaymentIntents() {
		received += pi.Received
	}
	if sum := b.Totals()["usd"]; sum.Captured != received || sum.Authorised != 0 {
		t.Fatalf("%+v, received %d", sum, received)
	}
}

func TestRun_EndsWithItsContext(t *testing.T) {
	b := newBench(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestConfig_SaysWhichFieldIsWrong(t *testing.T) {
	good := Config{SecretKey: secretKey, PublishableKey: publishableKey, PublicURL: "http://localhost:1"}
	for name, change := range map[string]func(*Config){
		"SecretKey":            func(c *Config) { c.SecretKey = "sk_live_0123456789abcdef" },
		"PublishableKey":       func(c *Config) { c.PublishableKey = "" },
		"PublicURL":            func(c *Config) { c.PublicURL = "localhost" },
		"WebhookURL":           func(c *Config) { c.WebhookURL = "http://shop/hook" },
		"AllowedReturnOrigins": func(c *Config) { c.AllowedReturnOrigins = []string{"https://shop.example/path"} },
	} {
		c := good
		change(&c)
		_, err := New(c, Deps{})
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), c.SecretKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
