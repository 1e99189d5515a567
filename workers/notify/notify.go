// Package notify sends notices to fans by mail. It may read and mark notices in Postgres and talk to the configured SMTP
// server; the notice in the fan's inbox is written elsewhere and does not wait for it.
package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"fairgate/internal/conf"
	"fairgate/internal/store"
)

// Config is how mails leave. Without a Server none do, and notices stay in the inbox.
type Config struct {
	Server   string        `yaml:"server" help:"SMTP server, host:port; empty sends no mails"`
	User     string        `yaml:"user" help:"SMTP user; empty for none"`
	Password conf.Secret   `yaml:"password" help:"SMTP password"`
	TLS      string        `yaml:"tls" default:"starttls" help:"starttls, tls (from the first byte) or none"`
	From     string        `yaml:"from" help:"sender: Shop <tickets@example.org>"`
	ShopURL  string        `yaml:"shopURL" help:"public address of the shop, for links"`
	Timeout  time.Duration `yaml:"timeout" default:"10s" help:"longest time to send one mail"`
}

// Validate names the key that cannot work.
func (c Config) Validate() error {
	if c.Server == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Server); err != nil {
		return errors.New("server: expected host:port")
	}
	if _, err := mail.ParseAddress(c.From); err != nil {
		return errors.New("from: expected a sender such as Shop <tickets@example.org>")
	}
	switch c.TLS {
	case "", "starttls", "tls", "none":
	default:
		return errors.New("tls: expected starttls, tls or none")
	}
	if u, err := url.Parse(c.ShopURL); c.ShopURL != "" && (err != nil || u.Host == "") {
		return errors.New("shopURL: expected http://… or https://…")
	}
	if c.Timeout < 0 {
		return errors.New("timeout: must not be negative")
	}
	return nil
}

// Deps is what a Mailer uses.
type Deps struct {
	Store *store.DB
}

// Mailer sends one mail per notice.
type Mailer struct {
	cfg    Config
	store  *store.DB
	client *gomail.Client
	texts  texts
}

// New reads the texts and makes no connection.
func New(cfg Config, deps Deps) (*Mailer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	m := &Mailer{cfg: cfg, store: deps.Store}
	var err error
	if m.texts, err = readTexts(); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	if cfg.Server == "" {
		return m, nil
	}
	if m.client, err = newClient(cfg); err != nil {
		return nil, fmt.Errorf("mail: %w", err)
	}
	return m, nil
}

func newClient(cfg Config) (*gomail.Client, error) {
	host, service, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(service)
	if err != nil {
		return nil, errors.New("server: expected a port number")
	}
	timeout := cfg.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(timeout)}
	switch cfg.TLS {
	case "tls":
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if cfg.User != "" {
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(cfg.User),
			gomail.WithPassword(cfg.Password.Reveal()))
	}
	return gomail.NewClient(host, options...)
}

// Send mails the notice that an obligation names: by notificationId in the payload, else the notice of the same cause.
// Nothing to send (no address, no server, no text for this kind, sent already) meets the obligation too. Crash story:
// between the server's word and the commit a mail is sent twice, with the same Message-ID.
func (m *Mailer) Send(ctx context.Context, o store.Obligation) error {
	var payload struct {
		Notification int64 `json:"notificationId"`
	}
	// Without a payload the cause is enough.
	if err := json.Unmarshal(o.Payload, &payload); err != nil {
		payload.Notification = 0
	}
	n, ok, err := m.store.Notice(ctx, payload.Notification, o.Cause)
	if err != nil {
		return err
	}
	sent := false
	if ok && m.client != nil && n.Email != "" && !n.Mailed {
		if sent, err = m.send(ctx, n); err != nil {
			return err
		}
	}
	return m.store.Money(ctx, func(tx *store.Money) error {
		if sent {
			if err := tx.Mailed(ctx, n.ID); err != nil {
				return err
			}
		}
		return tx.Done(ctx, o.Kind, o.Cause)
	})
}

func (m *Mailer) send(ctx context.Context, n store.Notice) (bool, error) {
	subject, body, ok, err := m.texts.render(n, strings.TrimRight(m.cfg.ShopURL, "/"))
	if err != nil || !ok {
		return false, err
	}
	msg := gomail.NewMsg()
	if err := msg.From(m.cfg.From); err != nil {
		return false, errors.New("mail: the sender's address cannot be used")
	}
	if err := msg.To(n.Email); err != nil {
		return false, nil // an address that cannot exist will not come to exist; it stays out of logs
	}
	msg.Subject(subject)
	msg.SetMessageIDWithValue(messageID(n.Cause, m.cfg.From))
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, body)
	if err := m.client.DialAndSendWithContext(ctx, msg); err != nil {
		return false, sendError(err)
	}
	return true, nil
}

// sendError keeps the server's code and drops its words: they repeat the fan's address.
func sendError(err error) error {
	var s *gomail.SendError
	if errors.As(err, &s) {
		return fmt.Errorf("mail: not sent: server answered %d", s.ErrorCode())
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("mail: not sent: connection %s failed", op.Op)
	}
	return errors.New("mail: not sent")
}

// messageID is the same for the same notice, so that a mail sent twice is shown once by those who look.
func messageID(cause, from string) string {
	host := "localhost"
	if a, err := mail.ParseAddress(from); err == nil {
		_, host, _ = strings.Cut(a.Address, "@")
	}
	clean := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '.'
	}, cause)
	return clean + "@" + host
}
