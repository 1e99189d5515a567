package page

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// files are the words: one file a language, named by its tag. The first in fallbackLanguage is complete.
//
//go:embed messages/*.json
var files embed.FS

const fallbackLanguage = "en"

// text is a message: one form, or one for each plural category.
type text struct {
	one   string
	forms map[string]string
}

// UnmarshalJSON reads a string or an object of plural forms that has "other".
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &t.one)
	}
	if err := json.Unmarshal(b, &t.forms); err != nil {
		return err
	}
	if t.forms["other"] == "" {
		return fmt.Errorf("plural forms without %q", "other")
	}
	return nil
}

// words is one language.
type words struct {
	lang    string
	tag     language.Tag
	texts   map[string]text
	json    []byte // for the script
	printer func() *message.Printer
}

// catalog is all languages.
type catalog struct {
	all     []*words
	matcher language.Matcher
}

func loadMessages() (catalog, error) {
	entries, err := files.ReadDir("messages")
	if err != nil {
		return catalog{}, err
	}
	var c catalog
	var tags []language.Tag
	for _, entry := range entries {
		w, err := loadWords(entry.Name())
		if err != nil {
			return catalog{}, fmt.Errorf("messages/%s: %w", entry.Name(), err)
		}
		// The matcher falls back on the first.
		if w.lang == fallbackLanguage {
			c.all, tags = append([]*words{w}, c.all...), append([]language.Tag{w.tag}, tags...)
		} else {
			c.all, tags = append(c.all, w), append(tags, w.tag)
		}
	}
	c.matcher = language.NewMatcher(tags)
	for _, w := range c.all[1:] {
		for key := range c.all[0].texts {
			if _, ok := w.texts[key]; !ok {
				return catalog{}, fmt.Errorf("messages/%s.json: %q is missing", w.lang, key)
			}
		}
	}
	return c, nil
}

func loadWords(name string) (*words, error) {
	raw, err := files.ReadFile("messages/" + name)
	if err != nil {
		return nil, err
	}
	w := &words{lang: strings.TrimSuffix(name, path.Ext(name))}
	if w.tag, err = language.Parse(w.lang); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &w.texts); err != nil {
		return nil, err
	}
	var compact, safe bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return nil, err
	}
	json.HTMLEscape(&safe, compact.Bytes()) // so that no text ends the script element
	w.json = safe.Bytes()
	w.printer = func() *message.Printer { return message.NewPrinter(w.tag) }
	return w, nil
}

// pick is the best language for an Accept-Language header.
func (c catalog) pick(accept string) *words {
	const longest = 256
	tags, _, err := language.ParseAcceptLanguage(accept[:min(len(accept), longest)])
	if err != nil {
		return c.all[0]
	}
	_, i, _ := c.matcher.Match(tags...)
	return c.all[i]
}

// digits writes a number as the language does.
func (w *words) digits(n int64) string { return w.printer().Sprintf("%d", n) }

// text fills in a message; {n} is n as digits, and chooses the plural form. An unknown key is empty.
func (w *words) text(key string, n int64, values map[string]string) string {
	t := w.texts[key]
	out := t.one
	if t.forms != nil {
		out = t.forms["other"]
		if s, ok := t.forms[w.form(n)]; ok {
			out = s
		}
	}
	if !strings.Contains(out, "{") {
		return out
	}
	pairs := make([]string, 0, 2*len(values)+2)
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	pairs = append(pairs, "{n}", w.digits(n))
	return strings.NewReplacer(pairs...).Replace(out)
}

// form is the plural category of a whole number.
func (w *words) form(n int64) string {
	switch plural.Cardinal.MatchPlural(w.tag, int(n), 0, 0, 0, 0) {
	case plural.Zero:
		return "zero"
	case plural.One:
		return "one"
	case plural.Two:
		return "two"
	case plural.Few:
		return "few"
	case plural.Many:
		return "many"
	}
	return "other"
}

// todo is what to do now.
func (w *words) todo(v *View) string {
	until := map[string]string{"time": clock(v.Until)}
	switch {
	case v.Phase == Invited:
		return w.text("todo.invited.form", 0, nil)
	case v.Phase == Closed && v.Until > 0:
		return w.text("todo.closed.at", 0, until)
	case v.Phase == Early && v.Until > 0:
		return w.text("number.open", 0, until) + ". " + w.text("todo.early", 0, nil)
	}
	return w.text("todo."+string(v.Phase), 0, until)
}

// number is the big number, what it counts, and whether it is only about right.
func (w *words) number(v *View) (number, label string, about bool) {
	switch {
	case !v.Known:
		return "…", w.text("number.label", 2, nil), false
	case v.High == 0:
		return w.digits(0), w.text("number.next", 0, nil), false
	}
	return w.digits(int64(v.High)), w.text("number.label", int64(v.High), nil), v.Young || v.Low != v.High
}

// clock writes an instant for people who have no script to put it into their own zone; empty for none.
func clock(micros int64) string {
	if micros <= 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format("2 Jan 2006, 15:04 UTC")
}

// wait is the P10 to P90 wait of the people from low to high.
func (w *words) wait(l Line, low, high int64) string {
	if l.RateLow <= 0 || l.RateHigh <= 0 {
		return w.text("wait.unknown", 0, nil)
	}
	least, most := low*1000/l.RateHigh, (high*1000+l.RateLow-1)/l.RateLow
	span := func(key string, low, high int64) string {
		return w.text(key, 0, map[string]string{"low": w.digits(low), "high": w.digits(high)})
	}
	switch {
	case most <= 1:
		return w.text("wait.short", 0, nil)
	case most >= 180:
		return span("wait.hours", least/60, (most+59)/60)
	case least >= most-1:
		return w.text("wait.minutes", most, nil)
	}
	return span("wait.range", max(least, 1), most)
}

func (w *words) left(l Line) string {
	if l.Left < 0 {
		return ""
	}
	left := w.text("left.tickets", l.Left, nil)
	if l.Coming > 0 {
		return w.text("left.coming", l.Coming, map[string]string{"left": left})
	}
	return left
}

// price groups the digits of a decimal amount; the fraction stays as it is.
func (w *words) price(l Line) string {
	if l.Price == "" || l.Currency == "" {
		return ""
	}
	whole, fraction, _ := strings.Cut(l.Price, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return ""
	}
	amount := w.digits(n)
	if fraction != "" {
		amount += "." + fraction
	}
	return w.text("price.from", 0, map[string]string{"price": amount + " " + l.Currency})
}
