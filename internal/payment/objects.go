package payment

import (
	"context"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76"

	"fairgate/internal/sale"
)

// pageSize is how many objects one call lists; Stripe allows at most 100.
const pageSize = 100

// Giveback is what we use of a Refund at the provider.
type Giveback struct {
	ID       string
	Status   string // pending, requires_action, succeeded, failed, canceled
	Amount   int64
	Currency string // upper case
	Charge   string
	Intent   string
	Reason   string    // why it failed; empty if it did not
	Moved    bool      // it took money from our account at the provider, if perhaps only for a while
	Refund   sale.UUID // our row, from the metadata; zero if it is none of ours
}

// RefundSpec is a refund to be made. The row's id goes into the metadata.
type RefundSpec struct {
	Intent   string
	Refund   sale.UUID
	Amount   int64
	Currency string
	Key      string
}

// Refund gives captured money back.
func (s *Stripe) Refund(ctx context.Context, spec RefundSpec) (Giveback, error) {
	p := &stripe.RefundParams{PaymentIntent: stripe.String(spec.Intent), Amount: stripe.Int64(ToProvider(spec.Amount, spec.Currency))}
	p.AddMetadata("refundId", spec.Refund.String())
	p.SetIdempotencyKey(spec.Key)
	var g Giveback
	err := s.call(ctx, "refunds.create", ClassRefund, func(ctx context.Context) error {
		p.Context = ctx
		re, err := s.api.Refunds.New(p)
		if err == nil {
			g = givebackOf(re)
		}
		return err
	})
	return g, err
}

// Giveback fetches a refund.
func (s *Stripe) Giveback(ctx context.Context, id string) (Giveback, error) {
	var g Giveback
	err := s.call(ctx, "refunds.get", ClassRefund, func(ctx context.Context) error {
		p := &stripe.RefundParams{}
		p.Context = ctx
		re, err := s.api.Refunds.Get(id, p)
		if err == nil {
			g = givebackOf(re)
		}
		return err
	})
	return g, err
}

// Givebacks lists the refunds of an intent, newest first, at most one page: a booking has fewer tickets than that.
func (s *Stripe) Givebacks(ctx context.Context, intent string) ([]Giveback, error) {
	var all []Giveback
	err := s.call(ctx, "refunds.list", ClassRefund, func(ctx context.Context) error {
		p := &stripe.RefundListParams{PaymentIntent: stripe.String(intent)}
		p.Context, p.Limit, p.Single = ctx, stripe.Int64(pageSize), true
		it := s.api.Refunds.List(p)
		for it.Next() {
			all = append(all, givebackOf(it.Refund()))
		}
		return it.Err()
	})
	return all, err
}

func givebackOf(re *stripe.Refund) Giveback {
	g := Giveback{
		ID: re.ID, Status: string(re.Status), Amount: fromProvider(re.Amount, string(re.Currency)),
		Currency: strings.ToUpper(string(re.Currency)), Reason: string(re.FailureReason), Moved: re.BalanceTransaction != nil,
	}
	if g.Status == "canceled" && g.Reason == "" {
		g.Reason = g.Status
	}
	if re.PaymentIntent != nil {
		g.Intent = re.PaymentIntent.ID
	}
	if re.Charge != nil {
		g.Charge = re.Charge.ID
	}
	g.Refund, _ = sale.ParseUUID(re.Metadata["refundId"]) // none of ours: zero
	return g
}

// Complaint is what we use of a Dispute at the provider.
type Complaint struct {
	ID        string
	Intent    string
	Charge    string
	Amount    int64  // minor units
	Currency  string // upper case
	Reason    string
	Status    string    // needs_response, under_review, won, lost, warning_…
	DueBy     time.Time // until when evidence is taken; zero if it is not
	Withdrawn bool      // the money was taken from our account, at least for a while
}

// Complaint fetches a dispute.
func (s *Stripe) Complaint(ctx context.Context, id string) (Complaint, error) {
	var c Complaint
	err := s.call(ctx, "disputes.get", ClassResolve, func(ctx context.Context) error {
		p := &stripe.DisputeParams{}
		p.Context = ctx
		d, err := s.api.Disputes.Get(id, p)
		if err == nil {
			c = complaintOf(d)
		}
		return err
	})
	return c, err
}

// Complaints lists the disputes of an intent, newest first, at most one page.
func (s *Stripe) Complaints(ctx context.Context, intent string) ([]Complaint, error) {
	var all []Complaint
	err := s.call(ctx, "disputes.list", ClassResolve, func(ctx context.Context) error {
		p := &stripe.DisputeListParams{PaymentIntent: stripe.String(intent)}
		p.Context, p.Limit, p.Single = ctx, stripe.Int64(pageSize), true
		it := s.api.Disputes.List(p)
		for it.Next() {
			all = append(all, complaintOf(it.Dispute()))
		}
		return it.Err()
	})
	return all, err
}

func complaintOf(d *stripe.Dispute) Complaint {
	c := Complaint{
		ID: d.ID, Amount: fromProvider(d.Amount, string(d.Currency)), Currency: strings.ToUpper(string(d.Currency)),
		Reason: string(d.Reason), Status: string(d.Status), Withdrawn: len(d.BalanceTransactions) > 0,
	}
	if d.PaymentIntent != nil {
		c.Intent = d.PaymentIntent.ID
	}
	if d.Charge != nil {
		c.Charge = d.Charge.ID
	}
	if d.EvidenceDetails != nil && d.EvidenceDetails.DueBy > 0 {
		c.DueBy = time.Unix(d.EvidenceDetails.DueBy, 0).UTC()
	}
	return c
}

// Movement is a balance transaction: money that came to our account at the provider, or went.
type Movement struct {
	ID       string
	Type     string  // charge, refund, refund_failure, adjustment, …
	Amount   int64   // minor units, negative when it went
	Fee      int64   // what the provider kept of it
	Currency string  // upper case; the account's, where the provider converted
	Rate     float64 // by which the provider converted; 0 if it did not
	Source   string  // id of the charge, refund or dispute
	Created  time.Time
}

// EachIntent calls each for every PaymentIntent made in [since, until), newest first, and stops at its first error.
func (s *Stripe) EachIntent(ctx context.Context, since, until time.Time, each func(Intent) error) error {
	after := ""
	for {
		var page []Intent
		err := s.call(ctx, "payment_intents.list", ClassReconcile, func(ctx context.Context) error {
			p := &stripe.PaymentIntentListParams{CreatedRange: span(since, until)}
			listing(ctx, &p.ListParams, after)
			it := s.api.PaymentIntents.List(p)
			for it.Next() {
				page = append(page, intentOf(it.PaymentIntent()))
			}
			return it.Err()
		})
		if err != nil {
			return err
		}
		for _, i := range page {
			if err := each(i); err != nil {
				return err
			}
			after = i.ID
		}
		if len(page) < pageSize {
			return nil
		}
	}
}

// listing asks for one page: the library would fetch further ones outside the budget.
func listing(ctx context.Context, p *stripe.ListParams, after string) {
	p.Context, p.Limit, p.Single = ctx, stripe.Int64(pageSize), true
	if after != "" {
		p.StartingAfter = stripe.String(after)
	}
}

func span(since, until time.Time) *stripe.RangeQueryParams {
	return &stripe.RangeQueryParams{GreaterThanOrEqual: since.Unix(), LesserThan: until.Unix()}
}

func movementOf(b *stripe.BalanceTransaction) Movement {
	currency := string(b.Currency)
	m := Movement{
		ID: b.ID, Type: string(b.Type), Amount: fromProvider(b.Amount, currency), Fee: fromProvider(b.Fee, currency), Currency: strings.ToUpper(string(b.Currency)),
		Created: time.Unix(b.Created, 0).UTC(),
	}
	m.Rate = b.ExchangeRate
	if b.Source != nil {
		m.Source = b.Source.ID
	}
	return m
}
