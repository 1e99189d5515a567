package conf

import (
	"encoding"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is one field of a configuration: a section, a leaf or a list.
type field struct {
	name     string // the last part of key
	key      string
	help     string
	fallback string // the default tag
	value    reflect.Value
}

// fieldsOf returns the fields of a section in their order, those of embedded structs among them.
func fieldsOf(section reflect.Value, key string) []field {
	var fields []field
	for i := range section.NumField() {
		declared := section.Type().Field(i)
		name, _, _ := strings.Cut(declared.Tag.Get("yaml"), ",")
		if declared.Anonymous && name == "" && declared.Type.Kind() == reflect.Struct {
			fields = append(fields, fieldsOf(section.Field(i), key)...)
			continue
		}
		if !declared.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = lowerFirst(declared.Name)
		}
		fields = append(fields, field{
			name: name, key: join(key, name), help: declared.Tag.Get("help"),
			fallback: declared.Tag.Get("default"), value: section.Field(i),
		})
	}
	return fields
}

// leavesOf returns every field below a section that one text can hold.
func leavesOf(section reflect.Value) []field {
	var leaves []field
	var walk func(reflect.Value, string)
	walk = func(v reflect.Value, key string) {
		for _, f := range fieldsOf(v, key) {
			switch {
			case f.isSection():
				walk(f.value, f.key)
			case isText(f.value.Type()):
				leaves = append(leaves, f)
			}
		}
	}
	walk(section, "")
	return leaves
}

// isSection reports whether the field is a struct of further fields.
func (f field) isSection() bool { return isSection(f.value.Type()) }

// environment is the variable of a leaf: readTimeout in booking is FAIRGATE_BOOKING_READ_TIMEOUT.
func (f field) environment() string {
	var name strings.Builder
	name.WriteString(prefix)
	runes := []rune(f.key)
	for i, c := range runes {
		switch {
		case c == '.' || c == '-':
			c = '_'
		case unicode.IsUpper(c) && i > 0 && startsWord(runes, i):
			name.WriteByte('_')
		}
		name.WriteRune(unicode.ToUpper(c))
	}
	return name.String()
}

// startsWord reports whether the capital at i begins a word: the T in readTimeout, not the P in maxConnsPerIP.
func startsWord(runes []rune, i int) bool {
	if before := runes[i-1]; before == '.' || before == '-' {
		return false
	} else if !unicode.IsUpper(before) {
		return true
	}
	return i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

// isSection reports whether a type is a struct of fields rather than a value.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !ownsText(t) }

// ownsText reports whether a type reads its own text.
func ownsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isText reports whether one text can hold a value of the type.
func isText(t reflect.Type) bool {
	if isScalar(t) {
		return true
	}
	return t.Kind() == reflect.Slice && isScalar(t.Elem())
}

// isScalar reports whether a type is a single value.
func isScalar(t reflect.Type) bool {
	if ownsText(t) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	default:
		return false
	}
}

// supported reports whether fields of a type can be configured at all.
func supported(t reflect.Type) bool {
	switch {
	case isText(t), isSection(t):
		return true
	case t.Kind() == reflect.Slice:
		return supported(t.Elem())
	case t.Kind() == reflect.Map:
		return t.Key().Kind() == reflect.String && supported(t.Elem())
	default:
		return false
	}
}

// join puts a name under a key.
func join(key, name string) string {
	if key == "" {
		return name
	}
	return key + "." + name
}

// lowerFirst turns a Go name into a key: ReadTimeout into readTimeout, TTL into ttl, HTTPPort into httpPort.
func lowerFirst(name string) string {
	runes := []rune(name)
	for i, c := range runes {
		if !unicode.IsUpper(c) || (i > 0 && i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			break
		}
		runes[i] = unicode.ToLower(c)
	}
	return string(runes)
}

// mapKeys returns the keys of a map, sorted.
func mapKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
