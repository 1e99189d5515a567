package stripesim

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// minControlKey is the least length of the control API's key.
const minControlKey = 16

// Control is the simulator's own API, for tests in other processes and for demonstrations. It belongs on a listener of
// its own: nothing under Handler leads here. Calls carry "Authorization: Bearer KEY".
//
//	GET    /faults                     names, rules and how often each has struck
//	POST   /faults                     a JSON array of Rule
//	DELETE /faults                     no rules any more
//	POST   /advance                    {"seconds": 86400}
//	POST   /intents/{id}/pay           {"card": "visa"}
//	POST   /intents/{id}/secure        {"complete": true}
//	POST   /intents/{id}/expire
//	POST   /intents/{id}/capture       {"amount": 500}, by hand
//	POST   /intents/{id}/refund        {"amount": 500}, by hand
//	POST   /refunds/{id}/finish        {"status": "failed"}
//	POST   /charges/{id}/dispute       {"reason": "fraudulent", "amount": 0}
//	POST   /disputes/{id}/decide       {"status": "won"}
//	GET    /totals                     sums by currency
//
// Answers are JSON: 200 with what there is to say, 400 with {"error": …}.
func (s *Sim) Control(key string) (http.Handler, error) {
	if len(key) < minControlKey {
		return nil, fmt.Errorf("stripe simulator: control key: expected at least %d characters", minControlKey)
	}
	mux := http.NewServeMux()
	for pattern, do := range s.orders() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			out, err := s.obey(w, r, do)
			if err != nil {
				control(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			control(w, http.StatusOK, out)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(given), []byte(key)) != 1 {
			control(w, http.StatusUnauthorized, map[string]string{"error": "expected the control key as a bearer token"})
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}

// command is what a call of the control API asks for.
type command struct {
	id       string
	rules    []Rule
	Seconds  float64 `json:"seconds"`
	Card     string  `json:"card"`
	Complete bool    `json:"complete"`
	Amount   int64   `json:"amount"`
	Status   string  `json:"status"`
	Reason   string  `json:"reason"`
}

// orders is what the control API can do.
func (s *Sim) orders() map[string]func(command) (any, error) {
	done := func(f func(command) error) func(command) (any, error) {
		return func(o command) (any, error) { return map[string]bool{"done": true}, f(o) }
	}
	made := func(f func(command) (string, error)) func(command) (any, error) {
		return func(o command) (any, error) {
			id, err := f(o)
			return map[string]string{"id": id}, err
		}
	}
	return map[string]func(command) (any, error){
		"GET /faults": func(command) (any, error) {
			return map[string]any{"names": FaultNames(), "rules": s.script.Rules(), "struck": s.script.Struck()}, nil
		},
		"POST /faults": done(func(o command) error { return s.script.Add(o.rules...) }),
		"DELETE /faults": done(func(command) error {
			s.script.Reset()
			return nil
		}),
		"POST /advance":              done(func(o command) error { return s.Advance(time.Duration(o.Seconds * float64(time.Second))) }),
		"POST /intents/{id}/pay":     done(func(o command) error { return s.Pay(o.id, o.Card) }),
		"POST /intents/{id}/secure":  done(func(o command) error { return s.Secure(o.id, o.Complete) }),
		"POST /intents/{id}/expire":  done(func(o command) error { return s.Expire(o.id) }),
		"POST /intents/{id}/capture": done(func(o command) error { return s.TakeByHand(o.id, o.Amount) }),
		"POST /intents/{id}/refund":  made(func(o command) (string, error) { return s.GiveBack(o.id, o.Amount) }),
		"POST /refunds/{id}/finish":  done(func(o command) error { return s.FinishRefund(o.id, o.Status) }),
		"POST /charges/{id}/dispute": made(func(o command) (string, error) { return s.OpenDisputeOf(o.id, o.Reason, o.Amount) }),
		"POST /disputes/{id}/decide": done(func(o command) error { return s.DecideDispute(o.id, o.Status) }),
		"GET /totals":                func(command) (any, error) { return s.Totals(), nil },
	}
}

// obey reads an order and carries it out.
func (s *Sim) obey(w http.ResponseWriter, r *http.Request, do func(command) (any, error)) (any, error) {
	o := command{id: r.PathValue("id")}
	if r.Method == http.MethodPost && r.ContentLength != 0 {
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBodyBytes))
		in.DisallowUnknownFields()
		var into any = &o
		if r.URL.Path == "/faults" {
			into = &o.rules
		}
		if err := in.Decode(into); err != nil {
			return nil, errors.New("body: expected the JSON that this path takes")
		}
	}
	return do(o)
}

func control(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(encode(v))
}
