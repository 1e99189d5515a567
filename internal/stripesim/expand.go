package stripesim

import "strings"

// expansion says which references of an object are shown as whole objects, and so on inside them.
type expansion map[string]expansion

// parseExpand reads expand[]=… for an answer of the given kind. Like Stripe it refuses, before any work, what cannot
// be expanded.
func parseExpand(p *params, kind string, list bool) (expansion, error) {
	root := expansion{}
	for _, path := range p.list("expand", maxExpandPaths) {
		fields := strings.Split(path, ".")
		if len(fields) > maxExpandDepth {
			return nil, invalid("expand", "", "You cannot expand more than %d levels of a property. Property: %s", maxExpandDepth, path)
		}
		if list {
			if fields[0] != "data" {
				return nil, notExpandable(path)
			}
			fields = fields[1:]
		}
		if !root.add(kind, fields) {
			return nil, notExpandable(path)
		}
	}
	return root, p.err
}

func notExpandable(path string) error {
	return invalid("expand", "", "This property cannot be expanded (%s).", path)
}

// add puts one path into the tree, checking every step.
func (e expansion) add(kind string, fields []string) bool {
	for _, field := range fields {
		next, ok := expandable(kind, field)
		if !ok {
			return false
		}
		if e[field] == nil {
			e[field] = expansion{}
		}
		e, kind = e[field], next
	}
	return true
}

// expandable says which kind of object a field of a kind refers to. "none" is a reference that is always null here.
func expandable(kind, field string) (string, bool) {
	switch kind + "." + field {
	case "payment_intent.latest_charge", "refund.charge", "dispute.charge":
		return "charge", true
	case "charge.payment_intent", "refund.payment_intent", "dispute.payment_intent":
		return "payment_intent", true
	case "charge.balance_transaction", "refund.balance_transaction", "refund.failure_balance_transaction":
		return "balance_transaction", true
	case "charge.refunds":
		return "refunds", true
	case "refunds.data":
		return "refund", true
	case "balance_transaction.source":
		return "source", true
	case "source.payment_intent", "source.charge", "source.balance_transaction", "source.refunds":
		return map[string]string{"payment_intent": "payment_intent", "charge": "charge",
			"balance_transaction": "balance_transaction", "refunds": "refunds"}[field], true
	case "payment_intent.payment_method", "payment_intent.customer", "payment_intent.invoice", "payment_intent.review",
		"charge.customer", "charge.invoice", "charge.review", "charge.failure_balance_transaction":
		return "none", true
	}
	return "", false
}
