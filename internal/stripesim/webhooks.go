package stripesim

import (
	"bytes"
	"container/heap"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// endpoint is where events go, and the secret that signs them.
type endpoint struct{ url, secret string }

// delivery is one event's webhook on its way.
type delivery struct {
	event   string
	attempt int       // tries made
	due     time.Time // zero: at once
	fault   *Fault    // of the try to come, once the policy has decided and its delay runs
}

// deliveries is a heap of webhooks, the next due first.
type deliveries []*delivery

func (h deliveries) Len() int           { return len(h) }
func (h deliveries) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h deliveries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deliveries) Push(v any)        { *h = append(*h, v.(*delivery)) }
func (h *deliveries) Pop() any {
	old := *h
	v := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return v
}

// SetEndpoint sends events from now on to url, signed with secret (whsec_…); undelivered ones of before go there too.
// An empty url keeps events from being sent until the next call; they are kept meanwhile. Events from before the very
// first endpoint are never sent, as at Stripe.
func (s *Sim) SetEndpoint(url, secret string) error {
	if url != "" {
		if err := checkEndpoint(url, secret); err != nil {
			return fmt.Errorf("stripe simulator: endpoint: %w", err)
		}
	}
	s.mu.Lock()
	s.endpoint = endpoint{url: url, secret: secret}
	s.mu.Unlock()
	s.poke()
	if url == "" {
		return nil
	}
	return s.act(func(t *tx) error {
		t.line.Hooked = true
		return nil
	})
}

func checkEndpoint(raw, secret string) error {
	if u, err := url.Parse(raw); err != nil || !isWeb(u) {
		return errors.New("expected an http(s) URL")
	}
	if len(secret) < 16 {
		return errors.New("expected a signing secret of at least 16 characters")
	}
	return nil
}

func webhookClient(cfg Config) *http.Client {
	return &http.Client{
		Timeout:       cfg.WebhookTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: cfg.Workers, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dispatch hands due webhooks to the workers until ctx ends.
func (s *Sim) dispatch(ctx context.Context, jobs chan<- *delivery) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d, wait := s.nextDelivery()
		if d != nil {
			select {
			case jobs <- d:
				continue
			case <-ctx.Done():
				s.putBack(d)
				return
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// nextDelivery takes the next due webhook, or says how long none will be.
func (s *Sim) nextDelivery() (*delivery, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.state.due) == 0 || s.endpoint.url == "" {
		return nil, time.Hour
	}
	if wait := s.state.due[0].due.Sub(s.clock()); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&s.state.due).(*delivery), 0
}

func (s *Sim) putBack(d *delivery) {
	s.mu.Lock()
	heap.Push(&s.state.due, d)
	s.mu.Unlock()
	s.poke()
}

// deliver makes one try, and after it either marks the event done or plans the next.
func (s *Sim) deliver(ctx context.Context, d *delivery) {
	s.mu.Lock()
	e := s.state.events.get(d.event)
	to, position, now := s.endpoint, s.journal.position(), s.clock()
	s.mu.Unlock()
	if e == nil {
		s.metrics.webhooks.WithLabelValues("dropped").Inc()
		return
	}
	if to.url == "" {
		s.putBack(d)
		return
	}
	// What is not on disk could be forgotten in a crash; nobody may hear of it.
	err := s.journal.flush(position)
	if d.fault == nil {
		f := s.faults.At(Call{Point: PointWebhook, Object: e.subject(), Event: e.Type, Attempt: d.attempt + 1})
		d.fault = &f
		if f.Delay > 0 && err == nil {
			d.due = now.Add(f.Delay)
			s.putBack(d)
			return
		}
	}
	fault := *d.fault
	d.fault = nil
	if fault.Lose {
		s.delivered(d, now, nil, "lost")
		return
	}
	if fault.Drop && err == nil {
		err = errors.New("lost by the fault policy")
	}
	body := s.eventBody(e, now, fault.Version)
	for i := 0; i <= fault.Repeat && err == nil; i++ {
		err = s.post(ctx, to, body)
	}
	s.delivered(d, now, err, "delivered")
}

// eventBody is what is sent of an event.
func (s *Sim) eventBody(e *Event, now time.Time, version string) []byte {
	if version == "" {
		version = APIVersion
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return encode(renderer{s, now.Unix()}.eventAt(e, version))
}

// awaitWebhooks returns when each event's webhook is taken or given up, or nobody is to hear of it, but at the latest
// after Config.WebhookTimeout.
func (s *Sim) awaitWebhooks(ctx context.Context, events []*Event) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WebhookTimeout)
	defer cancel()
	tick := time.NewTicker(earlyCheck)
	defer tick.Stop()
	for s.undelivered(events) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// undelivered says whether the webhook of one of the events is still on its way.
func (s *Sim) undelivered(events []*Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoint.url == "" {
		return false
	}
	for _, e := range events {
		if now := s.state.events.get(e.ID); now != nil && now.Pending {
			return true
		}
	}
	return false
}

// delivered books the result of a try. The mark is not waited for: lost in a crash, the event is sent again, which
// every receiver of webhooks has to bear anyway.
func (s *Sim) delivered(d *delivery, now time.Time, err error, result string) {
	d.attempt++
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if d.attempt < s.cfg.WebhookAttempts {
			d.due = now.Add(s.backoff(d.attempt))
			heap.Push(&s.state.due, d)
			s.metrics.webhooks.WithLabelValues("failed").Inc()
			s.poke()
			return
		}
		result = "given_up"
		s.log.Warn("stripe simulator: webhook given up", "event", d.event, "attempts", d.attempt, "error", err)
	}
	s.metrics.webhooks.WithLabelValues(result).Inc()
	t := s.begin("", "")
	t.line.Done = []string{d.event}
	s.state.apply(t.line)
	if _, err := s.commit(t); err != nil {
		s.log.Error("stripe simulator: delivery not recorded", "event", d.event, "error", err)
	}
}

// backoff doubles with every try up to the limit; up to half of it is random. The caller holds s.mu.
func (s *Sim) backoff(attempt int) time.Duration {
	wait := s.cfg.WebhookMaxWait
	if attempt < 20 {
		wait = min(wait, s.cfg.WebhookBackoff<<(attempt-1))
	}
	b, err := s.random.ReadByte()
	if err != nil {
		return wait
	}
	return wait/2 + wait/2*time.Duration(b)/255
}

// post sends one signed event and expects a 2xx.
func (s *Sim) post(ctx context.Context, to endpoint, body []byte) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	r.Header.Set("Stripe-Signature", Sign(body, to.secret, s.clock()))
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("send webhook: %w", err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxWebhookReply))
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("send webhook: answered %d", answer.StatusCode)
	}
	return nil
}

// Sign is the Stripe-Signature header of a body sent at a time: HMAC-SHA256 over "seconds.body".
func Sign(body []byte, secret string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", at.Unix())
	mac.Write(body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}
