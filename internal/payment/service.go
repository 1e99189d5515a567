package payment

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/conf"
	"fairgate/internal/eventlog"
	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/wire"
)

// Kinds of obligations: task types of the workers and keys of the outbox.
const (
	KindResolve = "payment:resolve" // payload Task; a look at an intent or refund at the provider
	KindCapture = "payment:capture" // payload Task; take the money of a confirmed attempt
	KindVoid    = "payment:void"    // payload Task; of one intent, or of all of a booking's
	KindRefund  = "payment:refund"  // payload Task; the refunds row of the same cause
	KindEnd     = "payment:end"     // payload Task; tickets whose money the provider or a bank gave back end in the log
	KindRun     = "payment:run"     // payload Task with the run's id; refunds of a whole event, a batch of bookings at a time
	KindMail    = "notify:mail"     // payload notice id or nothing; the notification of the same cause
)

// Task is the payload of the payment obligations. Which fields are set depends on the kind; ids are in canonical form.
type Task struct {
	Event     int64     `json:"eventId,omitzero"`
	Booking   sale.UUID `json:"bookingId,omitzero"`
	Attempt   sale.UUID `json:"attemptId,omitzero"`
	Refund    sale.UUID `json:"refundId,omitzero"`
	Intent    string    `json:"intent,omitzero"`
	Amount    int64     `json:"amount,omitzero"`
	Currency  string    `json:"currency,omitzero"`
	Run       sale.UUID `json:"runId,omitzero"`
	Exhausted bool      `json:"exhausted,omitzero"` // void: too many declined cards; the payment fails for good
}

const (
	// maxAttempts is how many attempts one payment may have in all.
	maxAttempts = 20
	// KeyLife is how long an idempotency key is trusted; the provider forgets keys after 24 hours.
	KeyLife = 20 * time.Hour
	// commandLife is how long after its making a PaymentStarted may still take effect.
	commandLife = 10 * time.Second
)

// Config is how payments reach the fan. Zero values work without pages.
type Config struct {
	ShopURL    string        `yaml:"shopURL" help:"public address of the shop, to which the payment page returns"`
	HostedPage string        `yaml:"hostedPage" help:"address of a hosted payment page (the simulator's); empty for the shop's own page with Stripe's Payment Element"`
	BeginWait  time.Duration `yaml:"beginWait" default:"300ms" help:"how long to wait for the log to accept the start of a payment before going on"`
	MethodKey  conf.Secret   `yaml:"methodKey" help:"key of the hashes under which the log knows the cards of events that limit them, at least 32 characters, the same in all roles. Empty derives it from Stripe's secret key. Under another key every card begins anew"`
	KeepHold   time.Duration `yaml:"keepHold" default:"2m" help:"how long a hold lives on after the provider, or our turn with it, kept its payment from starting; ten minutes in all at most"`
	BankWait   time.Duration `yaml:"bankWait" default:"5m" help:"how long a hold lives on while the fan's bank asks (3-D Secure); likewise"`
}

// Validate refuses addresses that are none.
func (c Config) Validate() error {
	for _, a := range []struct{ key, value string }{{"shopURL", c.ShopURL}, {"hostedPage", c.HostedPage}} {
		if a.value == "" {
			continue
		}
		if u, err := url.Parse(a.value); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("%s: expected http://… or https://…", a.key)
		}
	}
	if n := len(c.MethodKey.Reveal()); n > 0 && n < minMethodKey {
		return fmt.Errorf("methodKey: expected at least %d characters, or nothing", minMethodKey)
	}
	if c.BeginWait < 0 {
		return errors.New("beginWait: must not be negative")
	}
	if c.KeepHold < 0 || c.KeepHold > mostExtended || c.BankWait < 0 || c.BankWait > mostExtended {
		return fmt.Errorf("keepHold, bankWait: expected 0 to %s", mostExtended)
	}
	return nil
}

// Ask sends a command and waits for its outcome; (*answer.Desk).Ask is one.
type Ask func(ctx context.Context, produce func(context.Context) error, command wire.ID) (wire.Outcome, error)

// Deps is what a Service uses. Ask may be nil: then a payment starts without waiting for the log's word. Now, Random,
// Log and Metrics may be nil.
type Deps struct {
	Store    *store.DB
	Stripe   *Stripe
	Orders   *eventlog.Producer // of the topic `orders`
	Ask      Ask
	RoomTime func() (now, bound int64)
	Now      func() time.Time
	Random   io.Reader
	Log      *slog.Logger
	Metrics  prometheus.Registerer
	At       At // nil outside tests
}

// Service starts, resolves and refunds payments. Booking and the workers use the same one, so that a lost webhook, a
// closed tab or a crash of either is mended by whoever comes next.
type Service struct {
	cfg      Config
	store    *store.DB
	stripe   *Stripe
	orders   *eventlog.Producer
	ask      Ask
	roomTime func() (int64, int64)
	now      func() time.Time
	random   io.Reader
	log      *slog.Logger
	odd      *prometheus.CounterVec
	at       At
	methods  []byte // key of the hashes of payment methods
}

// NewService registers fairgate_payment_odd_total{what}: intents without a row, and amounts that differ.
func NewService(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("payment: %w", err)
	}
	if cfg.BeginWait == 0 {
		cfg.BeginWait = 300 * time.Millisecond
	}
	if cfg.KeepHold == 0 {
		cfg.KeepHold = 2 * time.Minute
	}
	if cfg.BankWait == 0 {
		cfg.BankWait = 5 * time.Minute
	}
	s := &Service{
		cfg: cfg, store: deps.Store, stripe: deps.Stripe, orders: deps.Orders, ask: deps.Ask, roomTime: deps.RoomTime,
		now: deps.Now, random: deps.Random, log: deps.Log, at: deps.At,
		odd: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairgate_payment_odd_total", Help: "Things at the payment provider that should not be: stray, wrong_amount.",
		}, []string{"what"}),
	}
	var err error
	if s.methods, err = methodKey(cfg.MethodKey, deps.Stripe); err != nil {
		return nil, err
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(s.odd); err != nil {
			return nil, fmt.Errorf("payment: registering metrics: %w", err)
		}
	}
	return s, nil
}

// Stripe is the provider's client that the service uses.
func (s *Service) Stripe() *Stripe { return s.stripe }

// Store is the database that the service uses.
func (s *Service) Store() *store.DB { return s.store }

// NewID mints a UUIDv7 (RFC 9562) of now.
func (s *Service) NewID() (sale.UUID, error) {
	var u sale.UUID
	if _, err := io.ReadFull(s.random, u[6:]); err != nil {
		return u, fmt.Errorf("payment: reading randomness: %w", err)
	}
	ms := s.now().UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	return u, nil
}

// append puts a command that is idempotent by state into the log and waits until it is safe there.
func (s *Service) append(ctx context.Context, p store.Payment, body wire.Body) error {
	value := wire.AppendRecord(nil, wire.Record{Object: p.Event, Ref: p.Booking}, body)
	if _, err := s.orders.Append(ctx, p.Partition, value, time.Time{}); err != nil {
		return fmt.Errorf("appending to the log: %w", err)
	}
	return nil
}

// Authorise appends wire.Authorised of an intent, or wire.AuthorisedBy where its method is known, and waits until it is safe
// in the log. Sending it again changes nothing.
func (s *Service) Authorise(ctx context.Context, p store.Payment, attempt sale.UUID, i Intent, method wire.ID) error {
	a := wire.Authorised{Attempt: attempt, Amount: i.Amount, Currency: code(i.Currency), Intent: []byte(i.ID)}
	if method == (wire.ID{}) {
		return s.append(ctx, p, &a)
	}
	return s.append(ctx, p, &wire.AuthorisedBy{Method: method, Authorised: a})
}

// CaptureFailed appends wire.CaptureFailed and waits until it is safe in the log: the money of a confirmed booking
// cannot be taken, for good. Sending it again changes nothing.
func (s *Service) CaptureFailed(ctx context.Context, p store.Payment, attempt sale.UUID) error {
	return s.append(ctx, p, &wire.CaptureFailed{Attempt: attempt})
}

// RefundRequest names tickets of a booking whose money goes back.
type RefundRequest struct {
	Refund  sale.UUID // minted by the caller; the same id sent again is the same refund
	Booking sale.UUID
	Tickets []uint16 // indexes in the booking, from 0
	Return  bool     // the stock becomes free again

	KeepFees bool      // booking fees, with their tax, stay with the seller
	By       Asker     // who asks; empty is the organiser
	Run      sale.UUID // the refund of a whole event that this belongs to; zero if none
}

// Asker is who asked for a refund.
type Asker string

// Askers.
const (
	ByOrganiser Asker = "organiser"
	ByFan       Asker = "fan"
)

// ErrUnknownPayment: the booking has no payment.
var ErrUnknownPayment = errors.New("payment: the booking has no payment")

// Refund appends wire.Refunded by order of the organiser and waits until it is safe in the log; the outcome makes the
// refund due. After an error the caller sends the same request again.
func (s *Service) Refund(ctx context.Context, r RefundRequest) error {
	p, _, ok, err := s.store.AttemptsOf(ctx, r.Booking)
	if err != nil {
		return err
	}
	if !ok {
		return ErrUnknownPayment
	}
	if r.By == "" {
		r.By = ByOrganiser
	}
	// A crash after this leaves an order that nothing came of; without it the log's outcome would give back too much.
	err = s.store.OrderRefund(ctx, store.RefundOrder{
		Refund: r.Refund, Booking: r.Booking, Fees: !r.KeepFees, By: string(r.By), Run: r.Run,
	})
	if err != nil {
		return err
	}
	return s.append(ctx, p, &wire.Refunded{Refund: r.Refund, Return: r.Return, Tickets: r.Tickets})
}

// ErrNotFailed: the refund did not fail, so there is nothing to try again.
var ErrNotFailed = errors.New("payment: the refund did not fail")

// RetryRefund tries a refund again that the provider had accepted and that failed then: the money is back with us and still
// the fan's.
func (s *Service) RetryRefund(ctx context.Context, refund sale.UUID) error {
	ok, err := s.store.RetryRefund(ctx, refund)
	if err == nil && !ok {
		err = ErrNotFailed
	}
	return err
}

// Revoke appends wire.Revoke of a booking whose money is gone for good: its tickets end, its stock does not return.
func (s *Service) Revoke(ctx context.Context, booking sale.UUID) error {
	p, _, ok, err := s.store.AttemptsOf(ctx, booking)
	if err != nil || !ok {
		return errors.Join(err, ErrUnknownPayment)
	}
	return s.append(ctx, p, &wire.Revoke{Reason: wire.ReasonCancelledByShop})
}

// EndTickets appends wire.Refunded for tickets whose refund is written down already.
func (s *Service) EndTickets(ctx context.Context, booking, refund sale.UUID, tickets []uint16) error {
	p, _, ok, err := s.store.AttemptsOf(ctx, booking)
	if err != nil || !ok {
		return errors.Join(err, ErrUnknownPayment)
	}
	return s.append(ctx, p, &wire.Refunded{Refund: refund, Tickets: tickets})
}

func code(currency string) (c [3]byte) {
	copy(c[:], currency)
	return c
}

// payURL is where the fan pays. It holds the client secret, as the provider's own pages do: never log it.
func (s *Service) payURL(booking sale.UUID, i Intent) string {
	shop := strings.TrimRight(s.cfg.ShopURL, "/")
	if s.cfg.HostedPage == "" {
		return shop + "/booking/" + booking.String() + "/pay"
	}
	q := url.Values{"client_secret": {i.ClientSecret}, "return_url": {shop + "/booking/" + booking.String() + "/paid"}}
	return strings.TrimRight(s.cfg.HostedPage, "/") + "/pay/" + url.PathEscape(i.ID) + "?" + q.Encode()
}
