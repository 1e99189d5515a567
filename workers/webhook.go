package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
	"github.com/valyala/fasthttp"

	"fairgate/internal/conf"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

const (
	// maxSignature is the longest signature header that is looked at.
	maxSignature = 1024
	// maxName bounds each name that is stored of an event.
	maxName = 200
	// enqueueWait is how long Redis may take to take an event; the sweeper comes later if it does not answer.
	enqueueWait = 300 * time.Millisecond
	// maxNews is how many stored events may wait to be handed to asynq, by so many announcers.
	maxNews    = 8192
	announcers = 4
	// webhookRetry is when the provider should send an event again that could not be made durable.
	webhookRetry = 5 * time.Second
)

// WebhookConfig is the endpoint that the provider calls.
type WebhookConfig struct {
	Secret    conf.Secret   `yaml:"secret" help:"signing secret of the webhook endpoint, whsec_…; needed"`
	OldSecret conf.Secret   `yaml:"oldSecret" help:"the secret before, accepted while it is being replaced"`
	Tolerance time.Duration `yaml:"tolerance" default:"300s" help:"how old a signature may be"`
}

// Validate names the key that cannot work; it never repeats a secret.
func (c WebhookConfig) Validate() error {
	if !strings.HasPrefix(c.Secret.Reveal(), "whsec_") {
		return errors.New("secret: expected the endpoint's signing secret, which begins with whsec_")
	}
	if c.OldSecret != "" && !strings.HasPrefix(c.OldSecret.Reveal(), "whsec_") {
		return errors.New("oldSecret: expected a signing secret, which begins with whsec_, or nothing")
	}
	if c.Tolerance < 0 {
		return errors.New("tolerance: must not be negative")
	}
	return nil
}

// Routes registers POST /webhooks/stripe.
func (w *Workers) Routes(r *web.Router) { r.Handle(fasthttp.MethodPost, "/webhooks/stripe", w.webhook) }

// webhook makes a signed event durable and answers 200 only then. Of its content only names are kept: the object is
// fetched anew when the event is acted upon. Crash story: before the commit the provider sends the event again; after
// it the sweeper finds the event.
func (w *Workers) webhook(ctx *fasthttp.RequestCtx) error {
	e, err := w.readEvent(ctx.PostBody(), string(ctx.Request.Header.Peek("Stripe-Signature")))
	if err != nil {
		w.metrics.webhooks.WithLabelValues("refused").Inc()
		return err
	}
	work, cancel := web.RequestContext(ctx)
	defer cancel()
	fresh, err := w.intake.store(work, e)
	if err != nil {
		w.metrics.webhooks.WithLabelValues("failed").Inc()
		w.log.ErrorContext(work, "webhook not stored", "event", e.ID, "error", err)
		return web.Unavailable(webhookRetry)
	}
	if fresh {
		w.metrics.webhooks.WithLabelValues("stored").Inc()
		w.announce(e)
	} else {
		w.metrics.webhooks.WithLabelValues("repeated").Inc()
	}
	return web.WriteJSON(ctx, fasthttp.StatusOK, map[string]bool{"received": true})
}

// announce puts a stored event where the announcer takes it from. If that is full, or the process dies, the sweeper finds
// the event: nobody waits for Redis here.
func (w *Workers) announce(e store.WebhookEvent) {
	select {
	case w.news <- e:
	default:
		w.metrics.enqueue.WithLabelValues("left").Inc()
	}
}

// announcer hands stored events to asynq, a few at once, until ctx ends.
func (w *Workers) announcer(ctx context.Context) error {
	var callers sync.WaitGroup
	for range announcers {
		callers.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case e := <-w.news:
					call, cancel := context.WithTimeout(ctx, enqueueWait)
					if err := w.enqueueEvent(call, e); err != nil {
						w.metrics.enqueue.WithLabelValues("failed").Inc()
					}
					cancel()
				}
			}
		})
	}
	callers.Wait()
	return nil
}

// readEvent checks the signature over the raw body and picks the names out of the event.
func (w *Workers) readEvent(body []byte, signature string) (store.WebhookEvent, error) {
	if signature == "" || len(signature) > maxSignature {
		return store.WebhookEvent{}, web.BadRequest("Stripe-Signature", "a signature of the payment provider")
	}
	tolerance := cmp.Or(w.cfg.Webhook.Tolerance, webhook.DefaultTolerance)
	err := webhook.ValidatePayloadWithTolerance(body, signature, w.cfg.Webhook.Secret.Reveal(), tolerance)
	if err != nil && w.cfg.Webhook.OldSecret != "" {
		err = webhook.ValidatePayloadWithTolerance(body, signature, w.cfg.Webhook.OldSecret.Reveal(), tolerance)
	}
	if err != nil {
		return store.WebhookEvent{}, web.BadRequest("Stripe-Signature", "a valid signature over the body, not older than five minutes")
	}
	var n names
	if err := json.Unmarshal(body, &n); err != nil {
		return store.WebhookEvent{}, web.BadRequest("body", "an event of the payment provider")
	}
	e := store.WebhookEvent{ID: n.ID, Account: n.Account, Type: n.Type, APIVersion: n.APIVersion, Object: n.object()}
	for key, v := range map[string]string{"id": e.ID, "type": e.Type, "data.object.id": e.Object} {
		if v == "" || !isName(v) {
			return store.WebhookEvent{}, web.BadRequest(key, fmt.Sprintf("a name of 1 to %d printable characters", maxName))
		}
	}
	if !isName(e.Account) || !isName(e.APIVersion) {
		return store.WebhookEvent{}, web.BadRequest("api_version", fmt.Sprintf("at most %d printable characters", maxName))
	}
	if e.APIVersion != stripe.APIVersion {
		w.metrics.webhooks.WithLabelValues("other_version").Inc()
	}
	return e, nil
}

// isName says whether Postgres will take it for sure: events share a commit, and none may spoil it for the others.
func isName(v string) bool {
	for _, c := range []byte(v) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return len(v) <= maxName
}

// names are what is read of an event; the rest is skipped, not decoded.
type names struct {
	ID         string `json:"id"`
	Account    string `json:"account"`
	Type       string `json:"type"`
	APIVersion string `json:"api_version"`
	Data       struct {
		Object struct {
			ID     string          `json:"id"`
			Intent json.RawMessage `json:"payment_intent"` // an id; an object where it was expanded
		} `json:"object"`
	} `json:"data"`
}

// object names what to look at: a charge's events are about its intent.
func (n names) object() string {
	id := n.Data.Object.ID
	if strings.HasPrefix(id, "ch_") {
		var intent string
		if json.Unmarshal(n.Data.Object.Intent, &intent) == nil && intent != "" {
			return intent
		}
	}
	return id
}
