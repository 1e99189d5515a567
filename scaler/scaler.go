// Package scaler keeps as many replicas of each role as its load needs: it reads rules, asks Prometheus, decides, and
// tells a Driver. It may touch a rules file, one Prometheus server over HTTP and the driver; it holds no state that a
// restart would miss.
package scaler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of Config.
const (
	minEvery   = time.Second
	maxEvery   = time.Hour
	maxTimeout = time.Minute
)

// Config is the scaler's section of the configuration. Its zero value asks a Prometheus on this host every 15 s, with no
// rules.
type Config struct {
	PrometheusURL string        `yaml:"prometheusURL" help:"where Prometheus is" default:"http://127.0.0.1:9090"`
	RulesFile     string        `yaml:"rulesFile" help:"file (YAML) with a list named rules, added to those here"`
	Rules         []Rule        `yaml:"rules" help:"rules, one a role"`
	Every         time.Duration `yaml:"every" help:"time between two rounds of decisions" default:"15s"`
	Timeout       time.Duration `yaml:"timeout" help:"longest wait for one query or order" default:"5s"`
	MaxAge        time.Duration `yaml:"maxAge" help:"age beyond which a measurement counts as unknown" default:"1m"`
}

func (c Config) withDefaults() Config {
	standard(&c.PrometheusURL, "http://127.0.0.1:9090")
	standard(&c.Every, 15*time.Second)
	standard(&c.Timeout, 5*time.Second)
	standard(&c.MaxAge, time.Minute)
	c.PrometheusURL = strings.TrimRight(c.PrometheusURL, "/")
	return c
}

// Validate reports the first value that cannot be used, by its key.
func (c Config) Validate() error {
	c = c.withDefaults()
	u, err := url.Parse(c.PrometheusURL)
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "":
		return errors.New("prometheusURL: expected an http or https URL with a host")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("prometheusURL: expected no query or fragment")
	case c.Every < minEvery || c.Every > maxEvery:
		return fmt.Errorf("every: expected %s to %s, got %s", minEvery, maxEvery, c.Every)
	case c.Timeout <= 0 || c.Timeout > maxTimeout:
		return fmt.Errorf("timeout: expected more than 0 to %s, got %s", maxTimeout, c.Timeout)
	case c.MaxAge <= 0:
		return fmt.Errorf("maxAge: expected more than 0, got %s", c.MaxAge)
	}
	_, err = prepare(c.Rules)
	return err
}

// Deps is what the scaler is handed. Only Driver is required.
type Deps struct {
	Driver  Driver
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
	Client  *http.Client // for Prometheus; default a client of its own
}

// Scaler runs the rules.
type Scaler struct {
	config  Config
	rules   []Rule
	history []History // by index of rules; only Run's goroutine touches it
	source  source
	deps    Deps
	metrics metrics
	asked   atomic.Int64 // unix nanoseconds of the last answer from Prometheus, 0 before
}

// New reads the rules and returns a scaler that has not asked anything yet.
func New(c Config, d Deps) (*Scaler, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if d.Driver == nil {
		return nil, errors.New("driver: expected one, got none")
	}
	c = c.withDefaults()
	rules, err := load(c)
	if err != nil {
		return nil, err
	}
	d = d.withDefaults()
	m, err := newMetrics(d.Metrics)
	if err != nil {
		return nil, err
	}
	return &Scaler{
		config: c, rules: rules, history: make([]History, len(rules)), deps: d, metrics: m,
		source: source{client: d.Client, base: c.PrometheusURL},
	}, nil
}

func (d Deps) withDefaults() Deps {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Client == nil {
		d.Client = &http.Client{}
	}
	if d.Metrics == nil {
		d.Metrics = prometheus.NewRegistry()
	}
	return d
}

func load(c Config) ([]Rule, error) {
	rules := c.Rules
	if c.RulesFile != "" {
		document, err := os.ReadFile(c.RulesFile)
		if err != nil {
			return nil, fmt.Errorf("rulesFile: %w", err)
		}
		more, err := ParseRules(document)
		if err != nil {
			return nil, fmt.Errorf("rulesFile: %w", err)
		}
		rules = append(rules[:len(rules):len(rules)], more...)
	}
	return prepare(rules)
}

// Run decides at once and then every Config.Every until ctx ends, which is no error.
func (s *Scaler) Run(ctx context.Context) error {
	t := time.NewTicker(s.config.Every)
	defer t.Stop()
	for {
		s.Round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// Ready says whether Prometheus has answered lately; with no rules there is nothing to ask.
func (s *Scaler) Ready(context.Context) error {
	last := s.asked.Load()
	if len(s.rules) > 0 && (last == 0 || s.deps.Now().Sub(time.Unix(0, last)) > s.config.MaxAge+2*s.config.Every) {
		return errors.New("no answer from prometheus lately")
	}
	return nil
}

// Round decides once for every rule, in order. A role that cannot be decided keeps what it has. Only one Round may run
// at a time; Run is the usual caller.
func (s *Scaler) Round(ctx context.Context) {
	for i, r := range s.rules {
		if ctx.Err() != nil {
			return
		}
		if err := s.decide(ctx, i); err != nil && ctx.Err() == nil {
			s.metrics.failures.WithLabelValues(r.Role).Inc()
			s.deps.Log.Warn("scaling failed", "role", r.Role, "error", err)
		}
	}
}

func (s *Scaler) decide(ctx context.Context, i int) error {
	r := s.rules[i]
	current, err := s.current(ctx, r)
	if err != nil {
		return fmt.Errorf("count replicas: %w", err)
	}
	load, failure := s.observe(ctx, r.Query) // unknown on failure, which never scales down
	now := s.deps.Now()
	d, h := Decide(r, load, current, now, s.history[i])
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.deps.Driver.Apply(ctx, d); err != nil {
		return errors.Join(failure, fmt.Errorf("apply decision: %w", err)) // history unchanged: tried again next round
	}
	s.history[i] = h
	s.metrics.record(d)
	return failure
}

// observe asks one query and turns a failure or an old answer into an unknown observation.
func (s *Scaler) observe(ctx context.Context, promQL string) (Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	o, err := s.source.query(ctx, promQL)
	if err != nil && !errors.Is(err, errNoValue) {
		return Observation{}, err
	}
	now := s.deps.Now()
	s.asked.Store(now.UnixNano())
	if err != nil {
		return Observation{}, err
	}
	if age := now.Sub(o.At).Abs(); age > s.config.MaxAge {
		return Observation{}, fmt.Errorf("measurement is %s away from now", age.Round(time.Second))
	}
	return o, nil
}

// current counts a role's replicas by the driver or, failing that, by Prometheus.
func (s *Scaler) current(ctx context.Context, r Rule) (int, error) {
	limited, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	n, known, err := s.deps.Driver.Replicas(limited, r.Role)
	if err != nil {
		return 0, err
	}
	if known {
		return n, nil
	}
	o, err := s.observe(ctx, r.CurrentQuery)
	if err != nil {
		return 0, err
	}
	if o.Value < 0 || o.Value > 10*MaxReplicas {
		return 0, fmt.Errorf("expected a count of replicas, got %v", o.Value)
	}
	return int(math.Round(o.Value)), nil
}
