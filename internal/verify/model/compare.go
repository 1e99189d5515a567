package model

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"fairgate/internal/wire"
)

// expected is an outcome as it must be.
type expected struct {
	Object int64
	Ref    wire.ID
	Body   wire.Body
}

// name is an outcome's or record's name in explanations.
func name(b wire.Body) string { return strings.TrimPrefix(fmt.Sprintf("%T", b), "*wire.") }

// bodyBytes are the bytes of a body.
func bodyBytes(b wire.Body) []byte {
	return wire.AppendRecord(nil, wire.Record{}, b)[wire.RecordHeaderSize:]
}

// differ explains how an outcome differs from what it must be, or is empty.
func differ(want expected, got seen) string {
	if want.Body.Kind() != got.Kind {
		return fmt.Sprintf("outcome number %d is %s, expected %s", got.Seq, Text(got.Decoded), Text(want.Body))
	}
	switch {
	case want.Object != got.Object:
		return fmt.Sprintf("outcome number %d (%s) is about object %d, expected %d", got.Seq, name(want.Body), got.Object, want.Object)
	case want.Ref != got.Ref:
		return fmt.Sprintf("outcome number %d (%s) is about %s, expected %s", got.Seq, name(want.Body), wire.Hex(got.Ref), wire.Hex(want.Ref))
	case bytes.Equal(bodyBytes(want.Body), got.Body):
		return ""
	}
	return fmt.Sprintf("outcome number %d (%s): %s", got.Seq, name(want.Body),
		strings.Join(fieldsThatDiffer("", reflect.ValueOf(want.Body).Elem(), reflect.ValueOf(got.Decoded).Elem()), "; "))
}

// fieldsThatDiffer lists the fields in which two values of one type differ.
func fieldsThatDiffer(path string, want, got reflect.Value) []string {
	if reflect.DeepEqual(want.Interface(), got.Interface()) {
		return nil
	}
	if want.Kind() == reflect.Struct {
		var all []string
		for i := range want.NumField() {
			all = append(all, fieldsThatDiffer(path+"."+want.Type().Field(i).Name, want.Field(i), got.Field(i))...)
		}
		return all
	}
	if want.Kind() == reflect.Slice && want.Type().Elem().Kind() == reflect.Struct && want.Len() == got.Len() {
		var all []string
		for i := range want.Len() {
			all = append(all, fieldsThatDiffer(fmt.Sprintf("%s[%d]", path, i), want.Index(i), got.Index(i))...)
		}
		return all
	}
	return []string{fmt.Sprintf("%s is %s, expected %s", strings.TrimPrefix(path, "."), valueText(got), valueText(want))}
}

// Text writes a body for people: its name and fields, ids in hex, empty fields left out.
func Text(b wire.Body) string {
	return name(b) + valueText(reflect.ValueOf(b).Elem())
}

func valueText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				parts = append(parts, v.Type().Field(i).Name+":"+valueText(v.Field(i)))
			}
		}
		return "{" + strings.Join(parts, " ") + "}"
	case reflect.Array, reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return bytesText(v)
		}
		var parts []string
		for i := range v.Len() {
			parts = append(parts, valueText(v.Index(i)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

func bytesText(v reflect.Value) string {
	b := make([]byte, v.Len())
	reflect.Copy(reflect.ValueOf(b), v)
	if v.Kind() == reflect.Slice || len(b) == 3 {
		return fmt.Sprintf("%q", b)
	}
	return fmt.Sprintf("%x", b)
}

// sums checks invariant 1 on every stock number that an outcome carries, whatever else is known.
func sums(s seen) []Finding {
	var out []Finding
	each := func(n wire.Stock) {
		if uint64(n.Held)+uint64(n.Sold)+uint64(n.Free) != uint64(n.Capacity) {
			out = append(out, Finding{1, fmt.Sprintf("outcome number %d (%s), event %d, ticket type %d: held %d + sold %d + free %d is not capacity %d",
				s.Seq, name(s.Decoded), s.Object, n.Type, n.Held, n.Sold, n.Free, n.Capacity)})
		}
	}
	for _, n := range Stocks(s.Decoded) {
		each(n)
	}
	return out
}

// Stocks are the stock numbers that an outcome carries.
func Stocks(b wire.Body) []wire.Stock {
	switch b := b.(type) {
	case *wire.TypeDefined:
		return []wire.Stock{b.Stock}
	case *wire.CapacitySet:
		return []wire.Stock{b.Stock}
	case *wire.Held:
		return b.Stock
	case *wire.Offered:
		return b.Stock
	case *wire.Cancelled:
		return b.Stock
	case *wire.Lapsed:
		return b.Stock
	case *wire.Confirmed:
		return b.Stock
	case *wire.TicketsRefunded:
		return b.Stock
	case *wire.Revoked:
		return b.Stock
	}
	return nil
}
