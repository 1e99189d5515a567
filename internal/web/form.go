package web

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"
)

// Limits of a form beside MaxBody.
const (
	maxFormFields = 128
	maxFormList   = 64 // elements of one list
)

// DecodeForm reads an application/x-www-form-urlencoded body into dst, the same struct that DecodeJSON fills: a field's
// name is its key, such as items[0].quantity; empty fields stand for missing members unless the member is a string;
// checkboxes are true by "on". It is as strict as DecodeJSON, and its problems are the same.
func DecodeForm(ctx *fasthttp.RequestCtx, dst any) error {
	if contentType(ctx) != typeForm {
		return &Problem{Status: http.StatusUnsupportedMediaType, Key: fasthttp.HeaderContentType, Expected: typeForm,
			Detail: "The body must be a form."}
	}
	body := ctx.Request.Body()
	if len(body) > MaxBody {
		return tooLarge()
	}
	document, err := formToJSON(string(body), reflect.TypeOf(dst))
	if err != nil {
		return err
	}
	return decodeJSON(document, dst)
}

// formToJSON writes a form as the JSON document of type t, so that one decoder judges both.
func formToJSON(body string, t reflect.Type) ([]byte, error) {
	if strings.Count(body, "&") >= maxFormFields {
		return nil, BadRequest("body", fmt.Sprintf("at most %d fields", maxFormFields))
	}
	values, err := url.ParseQuery(body)
	if err != nil {
		return nil, BadRequest("body", "a percent-encoded form")
	}
	root := &branch{}
	for key, given := range values {
		if len(given) > 1 {
			return nil, BadRequest(shorten(key), "each key once")
		}
		if !root.put(key, given[0]) {
			return nil, BadRequest(shorten(key), "a key such as items[0].quantity")
		}
	}
	document, _, err := root.encode(nil, t, "")
	return document, err
}

// branch is a node of a form: a leaf with a value, or an inner one with children by name or index.
type branch struct {
	value    *string
	children map[string]*branch
}

// put files a value under a key such as items[0].quantity and reports whether the key makes sense.
func (b *branch) put(key, value string) bool {
	steps := strings.Split(strings.ReplaceAll(strings.ReplaceAll(key, "]", ""), "[", "."), ".")
	if len(steps) > MaxDepth || strings.Count(key, "[") != strings.Count(key, "]") {
		return false
	}
	for _, step := range steps {
		if b.value != nil {
			return false
		}
		if b.children == nil {
			b.children = make(map[string]*branch)
		}
		if b.children[step] == nil {
			b.children[step] = &branch{}
		}
		b = b.children[step]
	}
	if b.value != nil || b.children != nil {
		return false
	}
	b.value = &value
	return true
}

// encode appends b as JSON for a member of type t; absent says that there is nothing to write.
func (b *branch) encode(out []byte, t reflect.Type, key string) (_ []byte, absent bool, err error) {
	t = pointed(t)
	switch {
	case b.value != nil:
		return encodeLeaf(out, *b.value, t, key)
	case t != nil && t.Kind() == reflect.Slice:
		out, err = b.encodeList(out, t.Elem(), key)
		return out, false, err
	}
	known := members(t)
	out = append(out, '{')
	first := true
	for _, name := range slices.Sorted(maps.Keys(b.children)) {
		start := len(out)
		if !first {
			out = append(out, ',')
		}
		if out, err = jsontext.AppendQuote(out, name); err != nil {
			return nil, false, BadRequest("body", "UTF-8")
		}
		out = append(out, ':')
		out, absent, err = b.children[name].encode(out, known[name], strings.TrimPrefix(key+"."+name, "."))
		if err != nil {
			return nil, false, err
		}
		if absent {
			out = out[:start]
			continue
		}
		first = false
	}
	return append(out, '}'), false, nil
}

// encodeList appends the children 0, 1, 2, … as a list.
func (b *branch) encodeList(out []byte, element reflect.Type, key string) ([]byte, error) {
	if len(b.children) > maxFormList {
		return nil, BadRequest(shorten(key), fmt.Sprintf("at most %d elements", maxFormList))
	}
	out = append(out, '[')
	for i := range len(b.children) {
		child := b.children[strconv.Itoa(i)]
		if child == nil {
			return nil, BadRequest(shorten(key), "elements numbered from 0 without gaps")
		}
		if i > 0 {
			out = append(out, ',')
		}
		var absent bool
		var err error
		if out, absent, err = child.encode(out, element, fmt.Sprintf("%s[%d]", key, i)); err != nil {
			return nil, err
		}
		if absent {
			out = append(out, "null"...)
		}
	}
	return append(out, ']'), nil
}

// encodeLeaf appends a field's text as the JSON that t expects, else as a string, which the decoder then refuses.
func encodeLeaf(out []byte, text string, t reflect.Type, key string) (_ []byte, absent bool, err error) {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	plain := t != nil && !speaksForItself(t)
	kind := reflect.String
	if t != nil {
		kind = t.Kind()
	}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" && kind != reflect.String {
		return out, true, nil
	}
	switch {
	case plain && kind == reflect.Bool && (trimmed == "on" || trimmed == "true"):
		return append(out, "true"...), false, nil
	case plain && kind == reflect.Bool && (trimmed == "off" || trimmed == "false"):
		return append(out, "false"...), false, nil
	case plain && kind >= reflect.Int && kind <= reflect.Float64 && isNumber(trimmed):
		return append(out, trimmed...), false, nil
	}
	if out, err = jsontext.AppendQuote(out, text); err != nil {
		return nil, false, BadRequest(shorten(key), "UTF-8")
	}
	return out, false, nil
}

// speaksForItself reports whether a type decodes its own text.
func speaksForItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// isNumber reports whether text is one JSON number.
func isNumber(text string) bool {
	value := jsontext.Value(text)
	return value.IsValid() && value.Kind() == '0'
}
