package stripesim

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Limits that no configuration lifts.
const (
	maxBodyBytes      = 64 << 10 // one request's form
	maxKeyLength      = 255      // an Idempotency-Key
	maxPageSize       = 100      // objects in one list answer
	defaultPageSize   = 10
	maxMetadataKeys   = 50
	maxMetadataKey    = 40
	maxMetadataValue  = 500
	maxExpandDepth    = 4
	maxExpandPaths    = 16
	maxDescription    = 1000
	maxReturnURL      = 2048
	maxAmount         = 99_999_999
	maxLineBytes      = 4 << 20 // one journal line
	maxWebhookReply   = 16 << 10
	eventRetention    = 30 * 24 * time.Hour
	keyRetention      = 24 * time.Hour
	authorisationLife = 7 * 24 * time.Hour
	payoutDelay       = 2 * 24 * time.Hour
	evidenceWindow    = 7 * 24 * time.Hour
	sweepInterval     = 250 * time.Millisecond
	earlyCheck        = time.Millisecond // how often a call that waits for its webhooks looks
)

// Rate says how many API calls per second one secret key may make. Zero means Stripe's live default, a negative
// number means no limit. Calls with the publishable key come from shoppers' own browsers and are not counted.
type Rate struct {
	Total       int // over all endpoints; default 100
	PerEndpoint int // for one method and path pattern; default 25
}

// Config is what one simulated account is made of. Keys are required; everything else has a default that works.
type Config struct {
	SecretKey      string // sk_test_…: may do everything
	PublishableKey string // pk_test_…: may confirm and read one intent with its client secret
	WebhookSecret  string // whsec_…: signs webhooks to WebhookURL
	WebhookURL     string // where events go; SetEndpoint changes it at run time

	Dir                  string   // the journal's folder; empty keeps everything in memory only
	PublicURL            string   // where browsers reach Handler, without a trailing slash
	AllowedReturnOrigins []string // scheme://host[:port] that a payer may be sent back to; none means nobody is

	Rate    Rate
	Country string // of the account; default US
	Name    string // of the shop, shown on the hosted page; default "Fairgate demo"
	Settle  string // currency of the account's balance, into which everything is converted; default: each in its own

	Workers         int           // concurrent webhook deliveries; default 4
	WebhookAttempts int           // tries per event before it is given up; default 40
	WebhookBackoff  time.Duration // before the second try, doubling; default 250 ms
	WebhookMaxWait  time.Duration // the longest pause between tries; default 60 s
	WebhookTimeout  time.Duration // for one try; default 10 s

	RefundDelay time.Duration // until a pending or failing refund settles; default 2 s
	SearchLag   time.Duration // until a new intent can be found by search; default 1 s, negative for none

	Seed   uint64 // of the faults' chances
	Faults []Rule // named faults from the start; Script changes them at run time

	MaxIntents    int   // intents kept; creating more is refused. Default 500,000
	MaxEvents     int   // events kept; the oldest go first. Default 1,000,000
	MaxKeys       int   // idempotency keys kept; a call with a new one is refused above. Default 1,000,000
	MaxConcurrent int   // requests in progress; more are answered 503. Default 1,024
	CompactBytes  int64 // journal size that starts a compaction; default 256 MiB
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	setInt := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	setSpan := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	setInt(&c.Rate.Total, 100)
	setInt(&c.Rate.PerEndpoint, 25)
	setInt(&c.Workers, 4)
	setInt(&c.WebhookAttempts, 40)
	setInt(&c.MaxIntents, 500_000)
	setInt(&c.MaxEvents, 1_000_000)
	setInt(&c.MaxKeys, 1_000_000)
	setInt(&c.MaxConcurrent, 1024)
	setSpan(&c.WebhookBackoff, 250*time.Millisecond)
	setSpan(&c.WebhookMaxWait, time.Minute)
	setSpan(&c.WebhookTimeout, 10*time.Second)
	setSpan(&c.RefundDelay, 2*time.Second)
	setSpan(&c.SearchLag, time.Second)
	if c.CompactBytes == 0 {
		c.CompactBytes = 256 << 20
	}
	if c.Country == "" {
		c.Country = "US"
	}
	if c.Name == "" {
		c.Name = "Fairgate demo"
	}
	return c
}

// Validate says which field is wrong and what was expected. It never repeats a key.
func (c Config) Validate() error {
	var problems []error
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !strings.HasPrefix(c.SecretKey, "sk_test_") || len(c.SecretKey) < 16 {
		wrong("SecretKey: expected sk_test_ and at least 8 characters more")
	}
	if !strings.HasPrefix(c.PublishableKey, "pk_test_") || len(c.PublishableKey) < 16 {
		wrong("PublishableKey: expected pk_test_ and at least 8 characters more")
	}
	if c.WebhookURL != "" {
		if err := checkEndpoint(c.WebhookURL, c.WebhookSecret); err != nil {
			wrong("WebhookURL: %w", err)
		}
	}
	if u, err := url.Parse(c.PublicURL); err != nil || !isWeb(u) || strings.HasSuffix(c.PublicURL, "/") {
		wrong("PublicURL: expected http(s)://host without a trailing slash")
	}
	for _, origin := range c.AllowedReturnOrigins {
		if u, err := url.Parse(origin); err != nil || !isWeb(u) || originOf(u) != origin {
			wrong("AllowedReturnOrigins: expected scheme://host[:port] in lower case, got %q", origin)
		}
	}
	for name, value := range map[string]int{
		"Workers": c.Workers, "WebhookAttempts": c.WebhookAttempts, "MaxIntents": c.MaxIntents,
		"MaxEvents": c.MaxEvents, "MaxKeys": c.MaxKeys, "MaxConcurrent": c.MaxConcurrent,
	} {
		if value < 0 {
			wrong("%s: expected a positive number, got %d", name, value)
		}
	}
	if _, ok := currencyOf(c.Settle); c.Settle != "" && !ok {
		wrong("Settle: expected a currency in lower case, got %.10q", c.Settle)
	}
	for i, r := range c.Faults {
		if err := r.validate(); err != nil {
			wrong("Faults[%d]: %w", i, err)
		}
	}
	return errors.Join(problems...)
}

// isWeb says whether u can be opened by a browser.
func isWeb(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// originOf is the scheme, host and port of u as a browser compares them.
func originOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }
