package stripesim

import (
	"net/url"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// params is a request's form or query in Stripe's bracket notation. Every read marks its key; what nobody read is an
// unknown parameter, which Stripe refuses.
type params struct {
	values url.Values
	read   map[string]bool
	err    error // the first problem met
}

func parseParams(raw string) (*params, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, invalid("", "", "The request's parameters are not valid form encoding.")
	}
	for key, list := range values {
		for _, v := range list {
			if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
				return nil, invalid(key, "", "Invalid characters in parameter %s.", key)
			}
		}
	}
	return &params{values: values, read: map[string]bool{}}, nil
}

func (p *params) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// has says whether a key was sent, marking it read.
func (p *params) has(key string) bool {
	p.read[key] = true
	_, ok := p.values[key]
	return ok
}

// text reads a string of at most limit bytes; a key sent twice is refused.
func (p *params) text(key string, limit int) string {
	p.read[key] = true
	list := p.values[key]
	if len(list) == 0 {
		return ""
	}
	if len(list) > 1 || len(list[0]) > limit {
		p.fail(invalid(key, "parameter_invalid_string", "Invalid string for %s: expected one of at most %d bytes.", key, limit))
		return ""
	}
	return list[0]
}

// choice reads one of the given words.
func (p *params) choice(key string, words ...string) string {
	v := p.text(key, 100)
	if v == "" {
		return ""
	}
	for _, w := range words {
		if v == w {
			return v
		}
	}
	p.fail(invalid(key, "", "Invalid %s: must be one of %s.", key, strings.Join(words, ", ")))
	return ""
}

// integer reads a whole number; ok is false when it was not sent.
func (p *params) integer(key string) (n int64, ok bool) {
	if !p.has(key) {
		return 0, false
	}
	n, err := strconv.ParseInt(p.text(key, 20), 10, 64)
	if err != nil {
		p.fail(invalid(key, "parameter_invalid_integer", "Invalid integer: %s.", key))
		return 0, false
	}
	return n, true
}

// flag reads true or false.
func (p *params) flag(key string) bool {
	return p.choice(key, "true", "false") == "true"
}

// list reads key[0], key[1], … or repeated key[].
func (p *params) list(key string, limit int) []string {
	type item struct {
		index int
		value string
	}
	var items []item
	for k, list := range p.values {
		rest, ok := strings.CutPrefix(k, key+"[")
		inner, ok2 := strings.CutSuffix(rest, "]")
		if !ok || !ok2 || strings.ContainsAny(inner, "[]") {
			continue
		}
		index, err := strconv.Atoi(inner)
		if inner != "" && err != nil {
			continue
		}
		p.read[k] = true
		for i, v := range list {
			items = append(items, item{index + i, v})
		}
	}
	if len(items) > limit {
		p.fail(invalid(key, "", "Too many values for %s: at most %d.", key, limit))
		return nil
	}
	sort.Slice(items, func(i, j int) bool { return items[i].index < items[j].index })
	var out []string
	for _, it := range items {
		out = append(out, it.value)
	}
	return out
}

// metadata applies metadata[…] to what an object has: an empty value removes its key, an empty metadata all of them.
func (p *params) metadata(old map[string]string) map[string]string {
	next := map[string]string{}
	for k, v := range old {
		next[k] = v
	}
	if p.has("metadata") {
		if p.text("metadata", 1) != "" {
			p.fail(invalid("metadata", "", "Invalid hash: metadata."))
		}
		next = map[string]string{}
	}
	for k, list := range p.values {
		rest, ok := strings.CutPrefix(k, "metadata[")
		name, ok2 := strings.CutSuffix(rest, "]")
		if !ok || !ok2 {
			continue
		}
		p.read[k] = true
		switch v := list[len(list)-1]; {
		case name == "" || utf8.RuneCountInString(name) > maxMetadataKey || strings.ContainsAny(name, "[]"):
			p.fail(invalid("metadata", "", "Metadata keys have 1 to %d characters and no brackets.", maxMetadataKey))
		case utf8.RuneCountInString(v) > maxMetadataValue:
			p.fail(invalid("metadata", "", "Metadata values have at most %d characters.", maxMetadataValue))
		case v == "":
			delete(next, name)
		default:
			next[name] = v
		}
	}
	if len(next) > maxMetadataKeys {
		p.fail(invalid("metadata", "", "Metadata has at most %d keys.", maxMetadataKeys))
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

// accept marks parameters that are valid at Stripe and change nothing here; a name also covers what is nested in it.
func (p *params) accept(names ...string) {
	for k := range p.values {
		base, _, _ := strings.Cut(k, "[")
		for _, name := range names {
			if k == name || base == name {
				p.read[k] = true
			}
		}
	}
}

// done returns the first problem, or that a parameter is unknown.
func (p *params) done() error {
	if p.err != nil {
		return p.err
	}
	unknown := ""
	for k := range p.values {
		if !p.read[k] && (unknown == "" || k < unknown) {
			unknown = k
		}
	}
	if unknown != "" {
		return invalid(unknown, "parameter_unknown", "Received unknown parameter: %s", unknown)
	}
	return nil
}

// span is a created[…] filter over unix seconds.
type span struct{ gt, gte, lt, lte, exact *int64 }

// created reads created, created[gt], created[gte], created[lt] and created[lte].
func (p *params) created() span {
	read := func(key string) *int64 {
		if n, ok := p.integer(key); ok {
			return &n
		}
		return nil
	}
	return span{
		gt: read("created[gt]"), gte: read("created[gte]"), lt: read("created[lt]"), lte: read("created[lte]"),
		exact: read("created"),
	}
}

func (s span) holds(at int64) bool {
	return (s.gt == nil || at > *s.gt) && (s.gte == nil || at >= *s.gte) && (s.lt == nil || at < *s.lt) &&
		(s.lte == nil || at <= *s.lte) && (s.exact == nil || at == *s.exact)
}

// page reads limit, starting_after and ending_before.
func (p *params) page() page {
	out := page{limit: defaultPageSize, after: p.text("starting_after", 100), before: p.text("ending_before", 100)}
	if n, ok := p.integer("limit"); ok {
		if n < 1 || n > maxPageSize {
			p.fail(invalid("limit", "parameter_invalid_integer", "Invalid limit: must be between 1 and %d.", maxPageSize))
		}
		out.limit = int(min(n, maxPageSize))
	}
	if out.after != "" && out.before != "" {
		p.fail(invalid("starting_after", "", "You may only specify one of starting_after and ending_before."))
	}
	return out
}
