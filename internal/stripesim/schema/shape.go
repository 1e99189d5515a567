package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/stripe/stripe-go/v76"
)

// kinds maps an object's name to the type that stripe-go reads it into.
func kinds() map[string]reflect.Type {
	return map[string]reflect.Type{
		"payment_intent":      reflect.TypeFor[stripe.PaymentIntent](),
		"charge":              reflect.TypeFor[stripe.Charge](),
		"refund":              reflect.TypeFor[stripe.Refund](),
		"dispute":             reflect.TypeFor[stripe.Dispute](),
		"balance_transaction": reflect.TypeFor[stripe.BalanceTransaction](),
		"balance":             reflect.TypeFor[stripe.Balance](),
		"payment_method":      reflect.TypeFor[stripe.PaymentMethod](),
		"account":             reflect.TypeFor[stripe.Account](),
		"event":               reflect.TypeFor[stripe.Event](),
	}
}

// Shape lists what stripe-go v76 would not know in an answer, or could not read.
func Shape(answer []byte) []string {
	var v any
	if err := json.Unmarshal(answer, &v); err != nil {
		return []string{"the answer is no JSON: " + err.Error()}
	}
	var problems []string
	for _, o := range objects(v) {
		problems = append(problems, unknown(kinds()[o["object"].(string)], o, o["object"].(string))...)
	}
	if len(objects(v)) == 0 && !isList(v) {
		problems = append(problems, "the answer is no object that is known here")
	}
	return slices.Compact(sorted(problems))
}

// Missing lists the fields that stripe-go knows and stripe-mock's answer has, and the simulator's has not, for objects of
// the same kind at the top, or in a list.
func Missing(answer, mock []byte) []string {
	var v, want any
	if json.Unmarshal(answer, &v) != nil || json.Unmarshal(mock, &want) != nil {
		return []string{"an answer is no JSON"}
	}
	var problems []string
	model := map[string]map[string]any{}
	for _, o := range objects(want) {
		model[o["object"].(string)] = o
	}
	for _, o := range objects(v) {
		kind := o["object"].(string)
		fields := fieldsOf(kinds()[kind])
		for name := range model[kind] {
			_, known := fields[name]
			if _, has := o[name]; known && !has && !slices.Contains(optional(kind), name) {
				problems = append(problems, kind+" lacks "+name)
			}
		}
	}
	return slices.Compact(sorted(problems))
}

// optional are fields that Stripe shows only now and then, whatever stripe-mock does.
func optional(kind string) []string {
	switch kind {
	case "refund":
		return []string{"description", "failure_reason", "failure_balance_transaction", "instructions_email", "next_action"}
	case "charge":
		return []string{"refunds"} // only when asked for, since 2022-11-15
	case "dispute":
		return []string{"network_reason_code", "payment_method_details"}
	case "balance":
		return []string{"connect_reserved", "instant_available", "issuing"}
	case "account":
		return []string{"company", "controller", "external_accounts", "future_requirements", "individual", "requirements", "tos_acceptance", "business_type", "created"}
	case "event":
		return []string{"account"} // of connected accounts
	}
	return nil
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

func isList(v any) bool {
	o, _ := v.(map[string]any)
	return o["object"] == "list" || o["object"] == "search_result"
}

// objects are the answer itself, or what its list holds.
func objects(v any) (out []map[string]any) {
	o, _ := v.(map[string]any)
	all := []any{v}
	if isList(v) {
		all, _ = o["data"].([]any)
	}
	for _, one := range all {
		o, _ := one.(map[string]any)
		name, _ := o["object"].(string)
		if _, known := kinds()[name]; known {
			out = append(out, o)
		}
	}
	return out
}

// unknown walks a value along a type and says where the two differ.
func unknown(t reflect.Type, v any, at string) []string {
	if t == reflect.TypeFor[json.RawMessage]() { // an event's object, which says itself what it is
		o, _ := v.(map[string]any)
		name, _ := o["object"].(string)
		if t = kinds()[name]; t == nil {
			return []string{at + ": an object of no known kind"}
		}
	}
	for t.Kind() == reflect.Pointer {
		if _, expandable := fieldsOf(t.Elem())["id"]; expandable && isString(v) {
			return nil // a reference that was not expanded
		}
		t = t.Elem()
	}
	switch v := v.(type) {
	case nil:
		return nil
	case map[string]any:
		return unknownFields(t, v, at)
	case []any:
		if t.Kind() != reflect.Slice {
			return []string{at + ": a list, where stripe-go has " + t.String()}
		}
		var problems []string
		for i, one := range v {
			problems = append(problems, unknown(t.Elem(), one, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return problems
	case string:
		return mismatch(t.Kind() == reflect.String, t, v, at)
	case bool:
		return mismatch(t.Kind() == reflect.Bool, t, v, at)
	case float64:
		return mismatch(t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64, t, v, at)
	}
	return nil
}

func unknownFields(t reflect.Type, v map[string]any, at string) (problems []string) {
	if t.Kind() == reflect.Map {
		return nil // metadata, and what is compared as raw JSON
	}
	if t.Kind() != reflect.Struct {
		return []string{at + ": an object, where stripe-go has " + t.String()}
	}
	fields := fieldsOf(t)
	for name, inner := range v {
		field, ok := fields[name]
		if !ok {
			if variant(t) {
				continue
			}
			problems = append(problems, at+"."+name+" is unknown to stripe-go")
			continue
		}
		problems = append(problems, unknown(field, inner, at+"."+name)...)
	}
	return sorted(problems)
}

// variant says that stripe-go reads a type by its "object", as the source of a balance transaction or an event's data.
func variant(t reflect.Type) bool {
	return t == reflect.TypeFor[stripe.BalanceTransactionSource]() || t == reflect.TypeFor[stripe.EventData]()
}

func mismatch(ok bool, t reflect.Type, v any, at string) []string {
	if ok {
		return nil
	}
	return []string{fmt.Sprintf("%s: %v, where stripe-go has %s", at, v, t)}
}

func isString(v any) bool {
	_, ok := v.(string)
	return ok
}

// fieldsOf maps JSON names to types, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	if t.Kind() != reflect.Struct {
		return out
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			for inner, of := range fieldsOf(f.Type) {
				out[inner] = of
			}
			continue
		}
		if name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}
