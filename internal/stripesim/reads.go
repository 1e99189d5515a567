package stripesim

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func getIntent(t *tx, r *request) (any, error) {
	r.params.text("client_secret", 200)
	return found(r, t.sim.state.intents, "intent", "payment_intent")
}
func getCharge(t *tx, r *request) (any, error) { return found(r, t.sim.state.charges, "id", "charge") }
func getRefund(t *tx, r *request) (any, error) { return found(r, t.sim.state.refunds, "id", "refund") }
func getTransaction(t *tx, r *request) (any, error) {
	return found(r, t.sim.state.transactions, "id", "balance_transaction")
}
func getDispute(t *tx, r *request) (any, error) {
	return found(r, t.sim.state.disputes, "id", "dispute")
}
func getEvent(t *tx, r *request) (any, error) { return found(r, t.sim.state.events, "id", "event") }

// found looks up the object that the path names.
func found[T any](r *request, shelf *shelf[T], param, kind string) (any, error) {
	if err := r.params.done(); err != nil {
		return nil, err
	}
	if v := shelf.get(r.id); v != nil {
		return v, nil
	}
	return nil, missing(param, "No such %s: '%s'", kind, r.id)
}

// listed answers a list request.
func listed[T any](r *request, shelf *shelf[T], parent string, match func(*T) bool) (any, error) {
	p := r.params.page()
	p.parent = parent
	if err := r.params.done(); err != nil {
		return nil, err
	}
	objects, more, ok := shelf.list(p, match)
	if !ok {
		return nil, missing("starting_after", "No such object: '%s'", p.after+p.before)
	}
	out := &listing{kind: "list", url: r.route.pattern, more: more}
	for _, v := range objects {
		out.data = append(out.data, v)
	}
	return out, nil
}

func listIntents(t *tx, r *request) (any, error) {
	created, customer := r.params.created(), r.params.text("customer", 100)
	return listed(r, t.sim.state.intents, "", func(v *Intent) bool { return customer == "" && created.holds(v.Created) })
}

func listCharges(t *tx, r *request) (any, error) {
	created, customer := r.params.created(), r.params.text("customer", 100)
	return listed(r, t.sim.state.charges, r.params.text("payment_intent", 100), func(v *Charge) bool {
		return customer == "" && created.holds(v.Created)
	})
}

func listRefunds(t *tx, r *request) (any, error) {
	created := r.params.created()
	charge, intent := r.params.text("charge", 100), r.params.text("payment_intent", 100)
	parent := charge
	if parent == "" {
		parent = intent
	}
	return listed(r, t.sim.state.refunds, parent, func(v *Refund) bool {
		return (intent == "" || v.Intent == intent) && created.holds(v.Created)
	})
}

func listTransactions(t *tx, r *request) (any, error) {
	created := r.params.created()
	kind, code, payout := r.params.text("type", 50), r.params.text("currency", 10), r.params.text("payout", 100)
	return listed(r, t.sim.state.transactions, r.params.text("source", 100), func(v *Transaction) bool {
		return payout == "" && (kind == "" || v.Type == kind) && (code == "" || v.Currency == code) && created.holds(v.Created)
	})
}

func listDisputes(t *tx, r *request) (any, error) {
	created := r.params.created()
	charge, intent := r.params.text("charge", 100), r.params.text("payment_intent", 100)
	parent := charge
	if parent == "" {
		parent = intent
	}
	return listed(r, t.sim.state.disputes, parent, func(v *Dispute) bool {
		return (intent == "" || v.Intent == intent) && created.holds(v.Created)
	})
}

func listEvents(t *tx, r *request) (any, error) {
	created := r.params.created()
	kind, kinds := r.params.text("type", 100), r.params.list("types", 20)
	delivered := r.params.choice("delivery_success", "true", "false")
	oldest := t.now.Add(-eventRetention).Unix()
	return listed(r, t.sim.state.events, "", func(v *Event) bool {
		return v.Created >= oldest && created.holds(v.Created) && (kind == "" || kindMatches(kind, v.Type)) &&
			(len(kinds) == 0 || slices.ContainsFunc(kinds, func(k string) bool { return kindMatches(k, v.Type) })) &&
			(delivered == "" || (delivered == "true") == !v.Pending)
	})
}

// kindMatches compares an event type with a filter that may end in ".*" or be "*".
func kindMatches(filter, kind string) bool {
	if prefix, ok := strings.CutSuffix(filter, "*"); ok {
		return strings.HasPrefix(kind, prefix)
	}
	return filter == kind
}

// searchIntents is GET /v1/payment_intents/search. Like Stripe's it lags behind (Config.SearchLag).
func searchIntents(t *tx, r *request) (any, error) {
	p := r.params
	query := p.text("query", 1000)
	size := p.page().limit
	cursor, _ := strconv.ParseInt(p.text("page", 20), 10, 64)
	if err := p.done(); err != nil {
		return nil, err
	}
	match, err := parseSearch(query)
	if err != nil {
		return nil, err
	}
	newest := t.now.Unix()
	if lag := t.sim.cfg.SearchLag; lag > 0 {
		newest = t.now.Add(-lag - time.Second + 1).Unix()
	}
	shelf := t.sim.state.intents
	out := &listing{kind: "search_result", url: r.route.pattern}
	bound := shelf.first + int64(shelf.len())
	if cursor > 0 {
		bound = min(bound, cursor)
	}
	last := bound
	shelf.older("", bound, func(n int64) bool {
		v := shelf.items[n-shelf.first]
		if v.Created > newest || !match(v) {
			return true
		}
		if len(out.data) == size {
			out.more, out.next = true, strconv.FormatInt(last, 10)
			return false
		}
		out.data = append(out.data, v)
		last = n
		return true
	})
	return out, nil
}

// parseSearch reads clauses joined by AND: field:'value', metadata['key']:'value', created and amount with : > < >= <=.
func parseSearch(query string) (func(*Intent) bool, error) {
	clause := regexp.MustCompile(`^(-?)(?:(status|currency|customer)|metadata\[["']([^"'\]]+)["']\]|(created|amount)):?\s*(:|>=|<=|>|<|)\s*(?:["']([^"']*)["']|(\d+))$`)
	var tests []func(*Intent) bool
	for _, part := range regexp.MustCompile(`\s+(?i:AND)\s+`).Split(strings.TrimSpace(query), 10) {
		m := clause.FindStringSubmatch(part)
		if m == nil {
			return nil, invalid("query", "", "The search query could not be understood near: %s", part)
		}
		negate, field, key, numeric, op, text := m[1] == "-", m[2], m[3], m[4], m[5], m[6]+m[7]
		test := func(v *Intent) bool {
			switch {
			case numeric != "":
				return compareNumber(v, numeric, op, text)
			case key != "":
				return v.Metadata[key] == text
			case field == "status":
				return v.Status == text
			case field == "currency":
				return v.Currency == strings.ToLower(text)
			}
			return false
		}
		tests = append(tests, func(v *Intent) bool { return test(v) != negate })
	}
	return func(v *Intent) bool {
		for _, test := range tests {
			if !test(v) {
				return false
			}
		}
		return true
	}, nil
}

func compareNumber(v *Intent, field, op, text string) bool {
	have := v.Amount
	if field == "created" {
		have = v.Created
	}
	want, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false
	}
	switch op {
	case ">":
		return have > want
	case ">=":
		return have >= want
	case "<":
		return have < want
	case "<=":
		return have <= want
	}
	return have == want
}

// getBalance adds up the balance transactions.
func getBalance(t *tx, r *request) (any, error) {
	if err := r.params.done(); err != nil {
		return nil, err
	}
	available, pending := map[string]int64{}, map[string]int64{}
	for v := range t.sim.state.transactions.oldestFirst() {
		available[v.Currency] += 0
		pending[v.Currency] += 0
		if v.AvailableOn > t.second() {
			pending[v.Currency] += v.Amount - v.Fee
		} else {
			available[v.Currency] += v.Amount - v.Fee
		}
	}
	show := func(sums map[string]int64) []any {
		out := []any{}
		for code, amount := range sums {
			out = append(out, object{"amount": amount, "currency": code, "source_types": object{"card": amount}})
		}
		slices.SortFunc(out, func(a, b any) int {
			return strings.Compare(a.(object)["currency"].(string), b.(object)["currency"].(string))
		})
		return out
	}
	return object{"object": "balance", "livemode": false, "available": show(available), "pending": show(pending)}, nil
}

// getAccount is the account itself, by its id or without one.
func getAccount(t *tx, r *request) (any, error) {
	if err := r.params.done(); err != nil {
		return nil, err
	}
	id := t.sim.accountID()
	if r.id != "" && r.id != id {
		return nil, early(403, "invalid_request_error", "account_invalid", "The provided key does not have access to account '%s'.", r.id)
	}
	return object{
		"id": id, "object": "account", "type": "standard", "country": t.sim.cfg.Country, "default_currency": "usd",
		"charges_enabled": true, "payouts_enabled": true, "details_submitted": true, "email": nil, "metadata": object{},
		"business_profile": object{"name": t.sim.cfg.Name}, "capabilities": object{"card_payments": "active"},
		"settings": object{"dashboard": object{"display_name": t.sim.cfg.Name, "timezone": "Etc/UTC"}},
	}, nil
}
