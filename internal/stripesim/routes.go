package stripesim

import (
	"strings"
)

// route is one endpoint. Its name is also what rate limits and metrics go by.
type route struct {
	method  string
	pattern string // {id} stands for one segment
	kind    string // of the answer, for expand
	list    bool
	public  bool // a publishable key with the client secret may call it
	do      func(*tx, *request) (any, error)
}

func (r *route) name() string { return r.method + " " + r.pattern }

// match compares a path and returns its id.
func (r *route) match(path string) (id string, ok bool) {
	before, after, has := strings.Cut(r.pattern, "{id}")
	if !has {
		return "", path == r.pattern
	}
	rest, ok := strings.CutPrefix(path, before)
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(rest, after)
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// apiRoutes lists the endpoints; a fixed path stands before the pattern that would also match it.
func apiRoutes() []route {
	const get, post = "GET", "POST"
	return []route{
		{method: post, pattern: "/v1/payment_intents", kind: "payment_intent", do: createIntent},
		{method: get, pattern: "/v1/payment_intents", kind: "payment_intent", list: true, do: listIntents},
		{method: get, pattern: "/v1/payment_intents/search", kind: "payment_intent", list: true, do: searchIntents},
		{method: get, pattern: "/v1/payment_intents/{id}", kind: "payment_intent", public: true, do: getIntent},
		{method: post, pattern: "/v1/payment_intents/{id}", kind: "payment_intent", do: updateIntent},
		{method: post, pattern: "/v1/payment_intents/{id}/confirm", kind: "payment_intent", public: true, do: confirmIntent},
		{method: post, pattern: "/v1/payment_intents/{id}/capture", kind: "payment_intent", do: captureIntent},
		{method: post, pattern: "/v1/payment_intents/{id}/cancel", kind: "payment_intent", do: cancelIntent},
		{method: get, pattern: "/v1/charges", kind: "charge", list: true, do: listCharges},
		{method: get, pattern: "/v1/charges/{id}", kind: "charge", do: getCharge},
		{method: post, pattern: "/v1/charges/{id}", kind: "charge", do: updateCharge},
		{method: post, pattern: "/v1/charges/{id}/capture", kind: "charge", do: captureCharge},
		{method: post, pattern: "/v1/refunds", kind: "refund", do: createRefund},
		{method: get, pattern: "/v1/refunds", kind: "refund", list: true, do: listRefunds},
		{method: get, pattern: "/v1/refunds/{id}", kind: "refund", do: getRefund},
		{method: post, pattern: "/v1/refunds/{id}", kind: "refund", do: updateRefund},
		{method: post, pattern: "/v1/refunds/{id}/cancel", kind: "refund", do: cancelRefund},
		{method: get, pattern: "/v1/balance_transactions", kind: "balance_transaction", list: true, do: listTransactions},
		{method: get, pattern: "/v1/balance_transactions/{id}", kind: "balance_transaction", do: getTransaction},
		{method: get, pattern: "/v1/balance", kind: "balance", do: getBalance},
		{method: get, pattern: "/v1/disputes", kind: "dispute", list: true, do: listDisputes},
		{method: get, pattern: "/v1/disputes/{id}", kind: "dispute", do: getDispute},
		{method: post, pattern: "/v1/disputes/{id}", kind: "dispute", do: updateDispute},
		{method: post, pattern: "/v1/disputes/{id}/close", kind: "dispute", do: closeDispute},
		{method: get, pattern: "/v1/events", kind: "event", list: true, do: listEvents},
		{method: get, pattern: "/v1/events/{id}", kind: "event", do: getEvent},
		{method: get, pattern: "/v1/account", kind: "account", do: getAccount},
		{method: get, pattern: "/v1/accounts/{id}", kind: "account", do: getAccount},
	}
}

// find picks the route for a method and path.
func (s *Sim) find(method, path string) (*route, string) {
	for i := range s.routes {
		if s.routes[i].method != method {
			continue
		}
		if id, ok := s.routes[i].match(path); ok {
			return &s.routes[i], id
		}
	}
	return nil, ""
}
