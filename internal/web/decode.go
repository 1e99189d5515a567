package web

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/valyala/fasthttp"
)

// maxKeyShown is how much of a client's own key is said back, bytes.
const maxKeyShown = 100

// ExpectedError is what an UnmarshalText or UnmarshalJSON returns to say what it expected: "a decimal amount".
type ExpectedError string

// Error says what was expected.
func (e ExpectedError) Error() string { return "expected " + string(e) }

// Decode reads the body into dst by its Content-Type, a form or JSON; else a 415 problem.
func Decode(ctx *fasthttp.RequestCtx, dst any) error {
	if contentType(ctx) == typeForm {
		return DecodeForm(ctx, dst)
	}
	return DecodeJSON(ctx, dst)
}

// DecodeJSON reads a JSON body into dst, a pointer to a struct. It is strict: a Content-Type other than
// application/json is a 415 problem, a body above MaxBody a 413 one, and an unknown or repeated member (names are
// case-sensitive), a wrong type, a number out of range, text after the value, invalid UTF-8 or nesting beyond MaxDepth
// a 400 one that names the key and what was expected. A missing member or null leaves the zero value: which members
// must be there is the handler's rule.
func DecodeJSON(ctx *fasthttp.RequestCtx, dst any) error {
	if contentType(ctx) != typeJSON {
		return &Problem{Status: http.StatusUnsupportedMediaType, Key: fasthttp.HeaderContentType, Expected: typeJSON,
			Detail: "The body must be JSON, and its Content-Type application/json."}
	}
	body := ctx.Request.Body()
	if len(body) > MaxBody {
		return tooLarge()
	}
	return decodeJSON(body, dst)
}

// tooLarge is the problem of a body beyond MaxBody.
func tooLarge() *Problem {
	return &Problem{Status: http.StatusRequestEntityTooLarge, Key: "body", Expected: "at most 64 KiB",
		Detail: "The body is too large."}
}

// IsJSON says that the body calls itself JSON.
func IsJSON(ctx *fasthttp.RequestCtx) bool { return contentType(ctx) == typeJSON }

// contentType is the media type of the body, lower case, without parameters.
func contentType(ctx *fasthttp.RequestCtx) string {
	switch sent := ctx.Request.Header.ContentType(); string(sent) {
	case typeJSON: // nearly always
		return typeJSON
	case typeForm:
		return typeForm
	}
	media, _, err := mime.ParseMediaType(string(ctx.Request.Header.ContentType()))
	if err != nil {
		return ""
	}
	return media
}

// decodeJSON decodes one document into dst or says what is wrong with it.
func decodeJSON(body []byte, dst any) error {
	if len(body) == 0 {
		return BadRequest("body", "a JSON object")
	}
	if tooDeep(body) {
		return BadRequest("body", fmt.Sprintf("at most %d levels of nesting", MaxDepth))
	}
	err := json.Unmarshal(body, dst, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	return decodeProblem(err)
}

// tooDeep counts brackets outside strings; invalid JSON may be miscounted, and is refused by the decoder.
func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) <= MaxDepth {
		return false
	}
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

// decodeProblem names the key that a decoding error is about, and what was expected there.
func decodeProblem(err error) *Problem {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(syntax, jsontext.ErrDuplicateName) {
			return BadRequest(keyOf(syntax.JSONPointer), "each key once")
		}
		return BadRequest(keyOf(syntax.JSONPointer), fmt.Sprintf("valid JSON in UTF-8 (error at byte %d)", syntax.ByteOffset))
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return BadRequest("body", "one JSON object")
	}
	key := keyOf(semantic.JSONPointer)
	if errors.Is(semantic.Err, json.ErrUnknownName) {
		return BadRequest(key, "one of "+strings.Join(memberNames(semantic.GoType), ", "))
	}
	if expected, ok := errors.AsType[ExpectedError](err); ok {
		return BadRequest(key, string(expected))
	}
	return BadRequest(key, kindInWords(semantic.GoType))
}

// keyOf turns the pointer /items/0/quantity into items[0].quantity, and the root into body.
func keyOf(pointer jsontext.Pointer) string {
	var key strings.Builder
	for token := range pointer.Tokens() {
		switch {
		case isIndex(token) && key.Len() > 0:
			key.WriteString("[" + token + "]")
		case key.Len() > 0:
			key.WriteString("." + token)
		default:
			key.WriteString(token)
		}
	}
	if key.Len() == 0 {
		return "body"
	}
	return shorten(key.String())
}

// isIndex reports whether a token looks like a list index.
func isIndex(token string) bool {
	return token != "" && strings.Trim(token, "0123456789") == ""
}

// shorten cuts what a client sent to what is worth saying back.
func shorten(key string) string {
	if key == "" {
		return "body"
	}
	key = strings.ToValidUTF8(key, "\uFFFD")
	if len(key) <= maxKeyShown {
		return key
	}
	cut := maxKeyShown
	for !utf8.RuneStart(key[cut]) {
		cut--
	}
	return key[:cut] + "…"
}

// memberNames lists the JSON names of a struct, sorted.
func memberNames(t reflect.Type) []string {
	var names []string
	for name := range members(t) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// members maps the JSON names of a struct's members to their types; nothing for other types.
func members(t reflect.Type) map[string]reflect.Type {
	t = pointed(t)
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	found := make(map[string]reflect.Type)
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || (field.Anonymous && name == "") {
			continue
		}
		if name == "" {
			name = field.Name
		}
		found[name] = field.Type
	}
	return found
}

// pointed is what a pointer type points to, else the type itself.
func pointed(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// kindInWords says what a Go type looks like in JSON.
func kindInWords(t reflect.Type) string {
	t = pointed(t)
	if t == nil {
		return "another value"
	}
	if t.PkgPath() == "time" && t.Name() == "Time" {
		return "a time such as 2026-01-31T20:00:00Z"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("a whole number of at most %d bits", t.Bits())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprintf("a whole number from 0, of at most %d bits", t.Bits())
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	default:
		return "an object"
	}
}
