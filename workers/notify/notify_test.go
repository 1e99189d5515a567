package notify

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
	"fairgate/internal/sale"
	"fairgate/internal/store"
)

// sink is an SMTP server that keeps what it is given.
type sink struct {
	ln     net.Listener
	mu     sync.Mutex
	mails  []string
	refuse bool
	done   sync.WaitGroup
}

func newSink(t *testing.T) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{ln: ln}
	s.done.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.done.Go(func() { s.talk(c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		s.done.Wait()
	})
	return s
}

func (s *sink) talk(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	r := bufio.NewReader(c)
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 sink")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(strings.TrimSpace(strings.SplitN(line, " ", 2)[0])); {
		case verb == "RCPT" && s.refusing():
			say("550 no such user fan@example.org")
		case verb == "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(line)
			}
			s.mu.Lock()
			s.mails = append(s.mails, b.String())
			s.mu.Unlock()
			say("250 kept")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 sink")
		}
	}
}

func (s *sink) refusing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse
}

func (s *sink) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

func (s *sink) mailer(t *testing.T, db *store.DB) *Mailer {
	t.Helper()
	m, err := New(Config{Server: s.ln.Addr().String(), TLS: "none", From: "Shop <tickets@example.org>", ShopURL: "http://shop.test"}, Deps{Store: db})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func send(t *testing.T, w *paytest.World, m *Mailer, cause string) error {
	t.Helper()
	o, ok, err := w.DB.Obligation(t.Context(), payment.KindMail, cause)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return nil
	}
	return m.Send(t.Context(), o)
}

func notice(t *testing.T, w *paytest.World, kind, cause string) {
	t.Helper()
	h := w.Hold(2000)
	err := w.DB.Money(t.Context(), func(m *store.Money) error {
		_, err := m.Notify(context.Background(), store.Notice{
			User: paytest.User, Kind: kind, Event: paytest.Event, Booking: h.Booking, Cause: cause,
			Data: map[string]any{"amount": "20.00", "currency": "EUR"},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Oblige(payment.KindMail, cause, struct{}{})
}

func TestSend_MailsANoticeOnce(t *testing.T) {
	w, s := paytest.New(t), newSink(t)
	w.Exec(`INSERT INTO contacts (user_id, name, email, locale) VALUES ($1, 'Ada', 'fan@example.org', 'xx-YY')`, paytest.User)
	m := s.mailer(t, w.DB)
	notice(t, w, "ticketsReady", "capture:ch_1")
	for range 2 {
		if err := send(t, w, m, "capture:ch_1"); err != nil {
			t.Fatal(err)
		}
	}
	mails := s.all()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	for _, want := range []string{"fan@example.org", "Subject: Your tickets are ready: Night of Lights", "Hello Ada,", "20.00 EUR",
		"http://shop.test/booking/", "Message-ID: <capture.ch.1@example.org>"} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("no %q in\n%s", want, mails[0])
		}
	}
	if !paytest.One[bool](w, `SELECT mailed_at IS NOT NULL FROM notifications`) {
		t.Error("the notice does not say that it was mailed")
	}
}

func TestSend_WithoutAnAddressOrAServerTheObligationIsMet(t *testing.T) {
	w, s := paytest.New(t), newSink(t)
	silent, err := New(Config{}, Deps{Store: w.DB})
	if err != nil {
		t.Fatal(err)
	}
	for n, m := range []*Mailer{s.mailer(t, w.DB), silent} {
		cause := fmt.Sprintf("orders/0/%d", n)
		notice(t, w, "held", cause)
		if err := send(t, w, m, cause); err != nil {
			t.Error(err)
		}
	}
	if n := paytest.One[int](w, `SELECT count(*) FROM outbox WHERE status <> 'done'`); n != 0 || len(s.all()) != 0 {
		t.Errorf("%d open, %d mails", n, len(s.all()))
	}
}

func TestSend_RefusedMailStaysDueAndNamesNobody(t *testing.T) {
	w, s := paytest.New(t), newSink(t)
	w.Exec(`INSERT INTO contacts (user_id, email) VALUES ($1, 'fan@example.org')`, paytest.User)
	m := s.mailer(t, w.DB)
	s.refuse = true
	notice(t, w, "held", "orders/0/1")
	err := send(t, w, m, "orders/0/1")
	if err == nil || strings.Contains(err.Error(), "fan@") {
		t.Fatal(err)
	}
	if n := paytest.One[int](w, `SELECT count(*) FROM outbox WHERE status = 'pending'`); n != 1 {
		t.Error("the obligation was closed")
	}
}

func TestTexts_EveryKindHasSubjectAndBodyInEveryLanguage(t *testing.T) {
	all, err := readTexts()
	if err != nil {
		t.Fatal(err)
	}
	for language := range all {
		for _, kind := range []string{"held", "offered", "waitlisted", "lapsed", "cancelled", "confirmed", "ticketsReady", "frozen", "cardLimit", "refunded", "refundSent", "revoked"} {
			n := store.Notice{Kind: kind, Locale: language, EventName: "Night of Lights", Booking: sale.UUID{1}}
			subject, body, ok, err := all.render(n, "http://shop.test")
			if err != nil || !ok || !strings.Contains(subject, n.EventName) || len(body) < 40 || strings.Contains(subject, "\n") {
				t.Errorf("%s %s: %q %q %v %v", language, kind, subject, body, ok, err)
			}
		}
	}
	if _, _, ok, err := all.render(store.Notice{Kind: "unheard-of"}, ""); ok || err != nil {
		t.Error("a kind without a text was written")
	}
}

func TestTexts_DailyReportSaysWhatNeedsSomebody(t *testing.T) {
	all, err := readTexts()
	if err != nil {
		t.Fatal(err)
	}
	data := map[string]any{"day": "2026-11-30", "lines": []any{"EUR: 2 payments, 40.00 taken"}, "disputes": 0.0, "failedRefunds": 3.0}
	subject, body, ok, err := all.render(store.Notice{Kind: "dailyReport", Data: data}, "")
	if err != nil || !ok || subject != "The money of 2026-11-30" {
		t.Fatal(subject, ok, err)
	}
	for _, want := range []string{"40.00 taken", "3 refunds that failed"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in:\n%s", want, body)
		}
	}
	if strings.Contains(body, "disputes") {
		t.Errorf("it speaks of disputes that are not there:\n%s", body)
	}
	quiet := map[string]any{"day": "2026-11-30"}
	if _, body, _, err := all.render(store.Notice{Kind: "dailyReport", Data: quiet}, ""); err != nil || !strings.Contains(body, "no money moved") || !strings.Contains(body, "Nothing needs your attention") {
		t.Errorf("a quiet day: %v\n%s", err, body)
	}
}
