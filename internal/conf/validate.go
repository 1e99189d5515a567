package conf

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// validator is a section that knows what is wrong with it.
type validator interface{ Validate() error }

// validate asks a section's parts, then the section itself.
func validate(section reflect.Value, key string) error {
	var errs []error
	for _, f := range fieldsOf(section, key) {
		errs = append(errs, validateValue(f.value, f.key))
	}
	if v, ok := section.Addr().Interface().(validator); ok {
		errs = append(errs, placed(section, key, v.Validate()))
	}
	return distinct(errs)
}

// validateValue asks what is inside a field.
func validateValue(v reflect.Value, key string) error {
	var errs []error
	switch t := v.Type(); {
	case isSection(t):
		return validate(v, key)
	case t.Kind() == reflect.Slice && isSection(t.Elem()):
		for i := range v.Len() {
			errs = append(errs, validate(v.Index(i), fmt.Sprintf("%s[%d]", key, i)))
		}
	case t.Kind() == reflect.Map && isSection(t.Elem()):
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, name := range names {
			addressable := reflect.New(t.Elem()).Elem()
			addressable.Set(v.MapIndex(name))
			errs = append(errs, validate(addressable, join(key, name.String())))
		}
	}
	return errors.Join(errs...)
}

// placed puts a section's key before each of its errors. An error that begins with one of the section's own keys
// continues it.
func placed(section reflect.Value, key string, err error) error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, one := range many.Unwrap() {
			errs = append(errs, placed(section, key, one))
		}
		return errors.Join(errs...)
	}
	if key == "" {
		return err
	}
	begin := err.Error()
	if end := strings.IndexAny(begin, ":.["); end >= 0 {
		begin = begin[:end]
	}
	for _, f := range fieldsOf(section, key) {
		if f.name == begin {
			return fmt.Errorf("%s.%w", key, err)
		}
	}
	return fmt.Errorf("%s: %w", key, err)
}

// distinct joins errors but for repetitions: an embedded section's Validate is its owner's too.
func distinct(errs []error) error {
	var kept []error
	seen := make(map[string]bool)
	for _, err := range errs {
		if err == nil || seen[err.Error()] {
			continue
		}
		seen[err.Error()] = true
		kept = append(kept, err)
	}
	return errors.Join(kept...)
}
