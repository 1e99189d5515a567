package schema

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func startMock(t *testing.T) *Mock {
	t.Helper()
	m, err := Start()
	if errors.Is(err, ErrNoMock) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func TestCheck_FindsWhatStripeWouldNotTake(t *testing.T) {
	m := startMock(t)
	for name, c := range map[string]struct {
		e    Exchange
		want string // part of the error; empty for none
	}{
		"good":                    {Exchange{Method: "POST", Path: "/v1/payment_intents", Body: "amount=1000&currency=eur&capture_method=manual", Status: 402}, ""},
		"lost on the way":         {Exchange{Method: "POST", Path: "/v1/refunds", Body: "payment_intent=pi_1&amount=5"}, ""},
		"refused by both":         {Exchange{Method: "POST", Path: "/v1/payment_intents", Body: "amount=x", Status: 400}, ""},
		"unknown parameter":       {Exchange{Method: "POST", Path: "/v1/payment_intents", Body: "amount=1000&currency=eur&amout=5", Status: 200}, "stripe-mock 400"},
		"missing parameter":       {Exchange{Method: "POST", Path: "/v1/payment_intents", Body: "currency=eur", Status: 200}, "stripe-mock 400"},
		"unknown choice":          {Exchange{Method: "POST", Path: "/v1/payment_intents/pi_1/cancel", Body: "cancellation_reason=boredom", Status: 200}, "stripe-mock 400"},
		"unknown path":            {Exchange{Method: "POST", Path: "/v1/payment_intents/pi_1/take", Status: 200}, "stripe-mock 404"},
		"unknown filter":          {Exchange{Method: "GET", Path: "/v1/refunds", Query: "intent=pi_1", Status: 200}, "stripe-mock 400"},
		"lost while it was wrong": {Exchange{Method: "POST", Path: "/v1/refunds", Body: "intent=pi_1"}, "stripe-mock 400"},
		"poor answer":             {Exchange{Method: "GET", Path: "/v1/refunds/re_1", Status: 200, Answer: []byte(`{"object":"refund","id":"re_1","amount":5}`)}, "refund lacks currency"},
	} {
		err := m.Check(t.Context(), c.e)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestShape_FindsWhatStripeGoWouldNotRead(t *testing.T) {
	for answer, want := range map[string]string{
		`{"object":"refund","id":"re_1","amount":5,"charge":"ch_1","metadata":{"a":"b"}}`:      "",
		`{"object":"refund","id":"re_1","charge":{"object":"charge","id":"ch_1","paid":true}}`: "",
		`{"object":"refund","amount":"5"}`:                                                     "refund.amount: 5, where stripe-go has int64",
		`{"object":"refund","amuont":5}`:                                                       "refund.amuont is unknown to stripe-go",
		`{"object":"list","data":[{"object":"charge","outcome":{"nonsense":1}}]}`:              "charge.outcome.nonsense is unknown to stripe-go",
		`{"object":"event","data":{"object":{"object":"charge","paid":1}}}`:                    "event.data.object.paid: 1, where stripe-go has bool",
		`{"object":"payment_intent","payment_method_types":"card"}`:                            "payment_intent.payment_method_types: card, where stripe-go has []string",
		`{"object":"unheard_of"}`:                                                              "the answer is no object that is known here",
		`nonsense`:                                                                             "the answer is no JSON: invalid character 'o' in literal null (expecting 'u')",
	} {
		if got := strings.Join(Shape([]byte(answer)), "; "); got != want {
			t.Errorf("%s: %q, want %q", answer, got, want)
		}
	}
}

func FuzzShape_NeverPanics(f *testing.F) {
	f.Add([]byte(`{"object":"list","data":[{"object":"charge","outcome":{"nonsense":1}}]}`))
	f.Add([]byte(`{"object":"event","data":{"object":null}}`))
	f.Add([]byte(`[{"object":1}]`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		Shape(answer)
		Missing(answer, answer)
	})
}
