package conf

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// maxShown is how much of a wrong value an error repeats, bytes.
const maxShown = 60

// setText sets a leaf from its text. The error says what was expected and, unless it is a secret, what was found.
func setText(v reflect.Value, text string) error {
	if v.Type() == reflect.TypeFor[Secret]() {
		secret, err := setSecret(text)
		if err == nil {
			v.SetString(string(secret))
		}
		return err
	}
	if own, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := own.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("expected %s, got %s: %w", inWords(v.Type()), shown(text), err)
		}
		return nil
	}
	if v.Kind() == reflect.Slice {
		return setList(v, text)
	}
	if !setPlain(v, strings.TrimSpace(text), text) {
		return fmt.Errorf("expected %s, got %s", inWords(v.Type()), shown(text))
	}
	return nil
}

// setPlain sets a value of a basic kind and reports whether the text was one.
func setPlain(v reflect.Value, trimmed, text string) bool {
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(trimmed)
		if err == nil {
			v.SetInt(int64(d))
		}
		return err == nil
	}
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return true
	case v.Kind() == reflect.Bool:
		v.SetBool(trimmed == "true")
		return trimmed == "true" || trimmed == "false"
	case v.CanInt():
		n, err := strconv.ParseInt(trimmed, 10, v.Type().Bits())
		v.SetInt(n)
		return err == nil
	case v.CanUint():
		n, err := strconv.ParseUint(trimmed, 10, v.Type().Bits())
		v.SetUint(n)
		return err == nil
	case v.CanFloat():
		n, err := strconv.ParseFloat(trimmed, v.Type().Bits())
		v.SetFloat(n)
		return err == nil && n-n == 0 // neither infinite nor NaN
	default:
		return false
	}
}

// setList sets a list from "a, b"; empty text is an empty list.
func setList(v reflect.Value, text string) error {
	list := reflect.MakeSlice(v.Type(), 0, 0)
	if strings.TrimSpace(text) != "" {
		for i, part := range strings.Split(text, ",") {
			element := reflect.New(v.Type().Elem()).Elem()
			if err := setText(element, strings.TrimSpace(part)); err != nil {
				return fmt.Errorf("element %d: %w", i+1, err)
			}
			list = reflect.Append(list, element)
		}
	}
	v.Set(list)
	return nil
}

// textOf is the text that setText would read back; a secret's is redacted.
func textOf(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case Secret:
		return value.String()
	case time.Duration:
		return value.String()
	case encoding.TextMarshaler:
		text, err := value.MarshalText()
		if err != nil {
			return ""
		}
		return string(text)
	default:
		return fmt.Sprint(value)
	}
}

// shown is a wrong value as an error repeats it.
func shown(text string) string {
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return strconv.Quote(text)
}

// inWords says what a type expects.
func inWords(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 5m or 250ms"
	case reflect.TypeFor[Secret]():
		return "a secret or file:/path"
	}
	if ownsText(t) {
		if t.String() == "netip.Prefix" {
			return "a network such as 10.0.0.0/8"
		}
		return "a " + t.String()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "a section of keys"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 of at most %d bits", t.Bits())
	default:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	}
}
