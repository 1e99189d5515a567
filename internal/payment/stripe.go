package payment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"fairgate/internal/conf"
	"fairgate/internal/sale"
)

// maxAnswer is the most bytes of one answer that we read.
const maxAnswer = 4 << 20

// StripeConfig is the account at Stripe and how patient we are with it.
type StripeConfig struct {
	SecretKey      conf.Secret   `yaml:"secretKey" help:"Stripe's secret key, sk_live_… or sk_test_…; needed"`
	PublishableKey string        `yaml:"publishableKey" help:"Stripe's publishable key, pk_live_… or pk_test_…; pages need it"`
	URL            string        `yaml:"url" default:"https://api.stripe.com" help:"where the API is; the simulator's address in a demo"`
	Timeout        time.Duration `yaml:"timeout" default:"10s" help:"longest time of one call"`
	Budget         BudgetConfig  `yaml:"budget"`
}

// Validate names the key that cannot work. It never repeats a key of the account.
func (c StripeConfig) Validate() error {
	var errs []error
	if !strings.HasPrefix(c.SecretKey.Reveal(), "sk_") && !strings.HasPrefix(c.SecretKey.Reveal(), "rk_") {
		errs = append(errs, errors.New("secretKey: expected Stripe's secret key, which begins with sk_ or rk_"))
	}
	if c.PublishableKey != "" && !strings.HasPrefix(c.PublishableKey, "pk_") {
		errs = append(errs, errors.New("publishableKey: expected Stripe's publishable key, which begins with pk_"))
	}
	if c.PublishableKey != "" && strings.Contains(c.SecretKey.Reveal(), "_live_") != strings.Contains(c.PublishableKey, "_live_") {
		errs = append(errs, errors.New("publishableKey: expected a key of the secret key's mode: both live, or both test"))
	}
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, errors.New("url: expected http://… or https://…"))
		}
	}
	if c.Timeout < 0 {
		errs = append(errs, errors.New("timeout: must not be negative"))
	}
	if err := c.Budget.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("budget: %w", err))
	}
	return errors.Join(errs...)
}

// StripeDeps is what a Stripe uses. HTTP and Metrics may be nil; Budget nil makes one of the configuration.
type StripeDeps struct {
	HTTP    *http.Client
	Budget  Budget
	Metrics prometheus.Registerer
}

// Stripe is the only way to the payment provider. It does not retry: who calls knows which key to use again. Its
// errors are *CallError or ErrUnavailable, and hold no secret.
type Stripe struct {
	cfg    StripeConfig
	api    *client.API
	http   *http.Client
	budget Budget
	calls  *prometheus.HistogramVec
}

// NewStripe checks the configuration and makes no call. It registers fairgate_payment_call_seconds{endpoint,result}.
func NewStripe(cfg StripeConfig, deps StripeDeps) (*Stripe, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("stripe: %w", err)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	if cfg.URL == "" {
		cfg.URL = stripe.APIURL
	}
	h := deps.HTTP
	if h == nil {
		h = &http.Client{Timeout: cfg.Timeout, Transport: bounded{http.DefaultTransport.(*http.Transport).Clone()}}
	}
	backend := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(strings.TrimRight(cfg.URL, "/")), HTTPClient: h, MaxNetworkRetries: stripe.Int64(0),
		// Its log repeats bodies, client secrets among them.
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull}, EnableTelemetry: stripe.Bool(false),
	})
	s := &Stripe{
		cfg: cfg, http: h, budget: deps.Budget,
		api: client.New(cfg.SecretKey.Reveal(), &stripe.Backends{API: backend, Connect: backend, Uploads: backend}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairgate_payment_call_seconds", Help: "Calls to the payment provider.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"endpoint", "result"}),
	}
	if s.budget == nil {
		s.budget = NewLocalBudget(cfg.Budget, nil)
	}
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(s.calls); err != nil {
			return nil, fmt.Errorf("stripe: registering metrics: %w", err)
		}
	}
	return s, nil
}

// Close drops idle connections.
func (s *Stripe) Close() { s.http.CloseIdleConnections() }

// bounded cuts answers that are longer than any of Stripe's.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.Transport.RoundTrip(r)
	if err == nil {
		res.Body = limited{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

type limited struct {
	io.Reader
	io.Closer
}

// Intent is what we use of a PaymentIntent.
type Intent struct {
	ID           string
	Status       string // requires_payment_method, requires_confirmation, requires_action, processing, requires_capture, succeeded, canceled
	Amount       int64  // minor units
	Received     int64  // captured
	Currency     string // upper case
	ClientSecret string // never to be logged or stored
	Charge       string // the newest; empty before the first
	Declined     string // code of the newest failure
	Attempt      sale.UUID
	Payment      sale.UUID
	Booking      sale.UUID
	Event        int64
	Created      time.Time
}

// Ours reports whether the intent's metadata says that we made it.
func (i Intent) Ours() bool { return !i.Attempt.IsZero() && !i.Booking.IsZero() }

// Statuses of an Intent that decisions hang on.
const (
	IntentRequiresMethod  = "requires_payment_method"
	IntentRequiresAction  = "requires_action"
	IntentProcessing      = "processing"
	IntentRequiresCapture = "requires_capture"
	IntentSucceeded       = "succeeded"
	IntentCanceled        = "canceled"
)

// IntentSpec is a PaymentIntent to be made. The ids go into its metadata, by which it can be found again.
type IntentSpec struct {
	Attempt     sale.UUID
	Payment     sale.UUID
	Booking     sale.UUID
	Event       int64
	Amount      int64
	Currency    string
	Description string
}

// CreateIntent makes a PaymentIntent with manual capture, for cards: the only methods that can be captured manually
// everywhere.
func (s *Stripe) CreateIntent(ctx context.Context, spec IntentSpec) (Intent, error) {
	p := &stripe.PaymentIntentParams{
		Amount: stripe.Int64(ToProvider(spec.Amount, spec.Currency)), Currency: stripe.String(strings.ToLower(spec.Currency)),
		CaptureMethod:      stripe.String(string(stripe.PaymentIntentCaptureMethodManual)),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	}
	if spec.Description != "" {
		p.Description = stripe.String(spec.Description)
	}
	p.AddMetadata("attemptId", spec.Attempt.String())
	p.AddMetadata("paymentId", spec.Payment.String())
	p.AddMetadata("bookingId", spec.Booking.String())
	p.AddMetadata("eventId", strconv.FormatInt(spec.Event, 10))
	p.SetIdempotencyKey(AttemptKey(spec.Attempt))
	return s.intent(ctx, "payment_intents.create", ClassCreate, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		p.Context = ctx
		return s.api.PaymentIntents.New(p)
	})
}

// Intent fetches a PaymentIntent.
func (s *Stripe) Intent(ctx context.Context, id string, class Class) (Intent, error) {
	return s.intent(ctx, "payment_intents.get", class, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		p := &stripe.PaymentIntentParams{}
		p.Context = ctx
		return s.api.PaymentIntents.Get(id, p)
	})
}

// Card fetches the fingerprint of the card that an intent was paid by: never to be stored; empty for no card, or where the
// provider gives none. A restricted key needs the right to read payment methods for it, as for nothing else here.
func (s *Stripe) Card(ctx context.Context, intent string, class Class) (card conf.Secret, err error) {
	err = s.call(ctx, "payment_intents.get", class, func(ctx context.Context) error {
		p := &stripe.PaymentIntentParams{}
		p.Context = ctx
		p.AddExpand("payment_method")
		pi, err := s.api.PaymentIntents.Get(intent, p)
		if err == nil && pi.PaymentMethod != nil && pi.PaymentMethod.Card != nil {
			card = conf.Secret(pi.PaymentMethod.Card.Fingerprint)
		}
		return err
	})
	return card, err
}

// Capture takes authorised money; amount is in the provider's units (ToProvider).
func (s *Stripe) Capture(ctx context.Context, id string, amount int64, key string) (Intent, error) {
	return s.intent(ctx, "payment_intents.capture", ClassCapture, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		p := &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(amount)}
		p.Context = ctx
		p.SetIdempotencyKey(key)
		return s.api.PaymentIntents.Capture(id, p)
	})
}

// Cancel voids an intent that is not captured.
func (s *Stripe) Cancel(ctx context.Context, id, key string) (Intent, error) {
	return s.intent(ctx, "payment_intents.cancel", ClassVoid, func(ctx context.Context) (*stripe.PaymentIntent, error) {
		p := &stripe.PaymentIntentCancelParams{}
		p.Context = ctx
		p.SetIdempotencyKey(key)
		return s.api.PaymentIntents.Cancel(id, p)
	})
}

func (s *Stripe) intent(ctx context.Context, endpoint string, class Class, do func(context.Context) (*stripe.PaymentIntent, error)) (Intent, error) {
	var pi *stripe.PaymentIntent
	err := s.call(ctx, endpoint, class, func(ctx context.Context) (err error) {
		pi, err = do(ctx)
		return err
	})
	if err != nil {
		return Intent{}, err
	}
	return intentOf(pi), nil
}

func intentOf(pi *stripe.PaymentIntent) Intent {
	currency := string(pi.Currency)
	i := Intent{
		ID: pi.ID, Status: string(pi.Status), Amount: fromProvider(pi.Amount, currency), Received: fromProvider(pi.AmountReceived, currency),
		Currency: strings.ToUpper(string(pi.Currency)), ClientSecret: pi.ClientSecret, Created: time.Unix(pi.Created, 0).UTC(),
	}
	if pi.LatestCharge != nil {
		i.Charge = pi.LatestCharge.ID
	}
	if pi.LastPaymentError != nil {
		if i.Declined = string(pi.LastPaymentError.DeclineCode); i.Declined == "" {
			i.Declined = string(pi.LastPaymentError.Code)
		}
	}
	// Metadata that is not ours leaves the ids zero: the intent is then foreign.
	i.Attempt, _ = sale.ParseUUID(pi.Metadata["attemptId"])
	i.Booking, _ = sale.ParseUUID(pi.Metadata["bookingId"])
	i.Payment, _ = sale.ParseUUID(pi.Metadata["paymentId"])
	i.Event, _ = sale.ParseID(pi.Metadata["eventId"])
	return i
}

// call waits for the budget, bounds the time, measures, and classifies the error.
func (s *Stripe) call(ctx context.Context, endpoint string, class Class, do func(context.Context) error) error {
	if err := s.budget.Wait(ctx, endpoint, class); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	start := time.Now()
	err := classify(endpoint, do(ctx))
	result := "ok"
	var e *CallError
	if errors.As(err, &e) {
		result = e.Fault.String()
		if e.Status == http.StatusTooManyRequests {
			s.budget.Slow(endpoint)
		}
	}
	s.calls.WithLabelValues(endpoint, result).Observe(time.Since(start).Seconds())
	return err
}
