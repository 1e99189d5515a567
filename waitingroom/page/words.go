package page

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// files are the words: one file a language, named by its tag. That of fallbackLanguage says which keys there are.
//
//go:embed messages/*.json
var files embed.FS

const fallbackLanguage = "en"

// maxAccept is how much of an Accept-Language header is looked at, in bytes.
const maxAccept = 256

// serverOnly are beginnings of keys that the script never asks for; it is spared them.
var serverOnly = [...]string{"dir", "figures", "name", "button.", "fact.", "how.", "languages", "todo.form", "todo.ready",
	"todo.invited.form", "notice.asked", "notice.not-recorded", "invite.",
	"notice.invite", "notice.bad-invite", "notice.foreign-invite", "notice.other-room-invite", "notice.expired-invite"}

// words is one language. Plural forms follow CLDR, by go-i18n: the page's script asks the browser, which does the same.
type words struct {
	lang      string
	tag       language.Tag
	fixed     map[string]string // messages without plural forms
	localizer *i18n.Localizer
	json      []byte // what the script needs
}

// reader is a language as somebody reads it: the words, and how their region writes numbers.
type reader struct {
	*words
	locale  string // BCP 47, for the script's numbers and dates
	printer *message.Printer
}

// catalog is all languages, the fallback first.
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
	bundle := i18n.NewBundle(language.Make(fallbackLanguage))
	for _, entry := range entries {
		w, err := loadWords(bundle, entry.Name())
		if err != nil {
			return catalog{}, fmt.Errorf("messages/%s: %w", entry.Name(), err)
		}
		c.all = append(c.all, w)
	}
	// The matcher falls back on the first.
	slices.SortStableFunc(c.all, func(a, b *words) int { return rank(a) - rank(b) })
	tags := make([]language.Tag, len(c.all))
	for i, w := range c.all {
		tags[i] = w.tag
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

func rank(w *words) int {
	if w.lang == fallbackLanguage {
		return 0
	}
	return 1
}

func loadWords(bundle *i18n.Bundle, name string) (*words, error) {
	raw, err := files.ReadFile("messages/" + name)
	if err != nil {
		return nil, err
	}
	w := &words{lang: strings.TrimSuffix(name, path.Ext(name)), fixed: make(map[string]string)}
	if w.tag, err = language.Parse(w.lang); err != nil {
		return nil, err
	}
	if _, err := bundle.ParseMessageFileBytes(raw, name); err != nil {
		return nil, err
	}
	w.localizer = i18n.NewLocalizer(bundle, w.lang)
	var texts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &texts); err != nil {
		return nil, err
	}
	script := make(map[string]json.RawMessage, len(texts))
	for key, text := range texts {
		var one string
		if json.Unmarshal(text, &one) == nil {
			w.fixed[key] = one
		}
		if !slices.ContainsFunc(serverOnly[:], func(p string) bool { return strings.HasPrefix(key, p) }) {
			script[key] = text
		}
	}
	w.json, err = json.Marshal(script)
	return w, err
}

// pick is the best language for an Accept-Language header. chosen, a language's tag, comes before the header.
func (c catalog) pick(chosen, accept string) reader {
	tags, _, err := language.ParseAcceptLanguage(accept[:min(len(accept), maxAccept)])
	if err != nil {
		tags = nil
	}
	_, i, _ := c.matcher.Match(tags...)
	for j, w := range c.all {
		if w.lang == chosen {
			i = j
		}
	}
	return c.all[i].read(tags)
}

// read is the language as the first of the tags in it has it: a German from Switzerland groups digits as the Swiss do.
func (w *words) read(tags []language.Tag) reader {
	locale := w.tag
	base, _ := w.tag.Base()
	for _, t := range tags {
		if b, _ := t.Base(); b == base {
			if region, sure := t.Region(); sure == language.Exact {
				if regional, err := language.Compose(base, region); err == nil {
					locale = regional
				}
			}
			break
		}
	}
	// The language's file says which figures are used: browsers and libraries know other versions of CLDR, and a number
	// must not change its looks when the script takes over.
	if figured, err := locale.SetTypeForKey("nu", w.fixed["figures"]); err == nil {
		locale = figured
	}
	return reader{w, locale.String(), message.NewPrinter(locale)}
}

// digits writes a number as the reader's region does.
func (r *reader) digits(n int64) string { return r.printer.Sprint(number.Decimal(n)) }

// text fills in a message. An unknown key is empty.
func (r *reader) text(key string, values map[string]string) string {
	return fill(r.fixed[key], values)
}

// count fills in a message in the plural form for n; {n} is n as digits.
func (r *reader) count(key string, n int64, values map[string]string) string {
	form, err := r.localizer.Localize(&i18n.LocalizeConfig{
		MessageID: key, PluralCount: n, TemplateParser: template.IdentityParser{},
	})
	if err != nil && form == "" {
		return ""
	}
	return fill(fill(form, values), map[string]string{"n": r.digits(n)})
}

// fill puts values where a message names them in braces.
func fill(message string, values map[string]string) string {
	if len(values) == 0 || !strings.Contains(message, "{") {
		return message
	}
	pairs := make([]string, 0, 2*len(values))
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace(message)
}

// todo is what to do now.
func (r *reader) todo(v *View) string {
	at := map[string]string{"time": clock(v.Until), "doors": clock(v.Doors)}
	switch {
	case v.Phase == Invited:
		return r.text("todo.invited.form", nil)
	case v.Phase == Closed && v.Doors > v.Until:
		return r.text("todo.closed.doors", at)
	case v.Phase == Closed && v.Until > 0:
		return r.text("todo.closed.at", at)
	case v.Phase == Early && v.Drawn:
		return r.text("todo.early.draw", nil)
	case v.Phase == Early && v.Until > 0:
		return r.text("todo.early.at", at)
	}
	return r.text("todo."+string(v.Phase), at)
}

// number is the big number, what it counts, and whether it is only about right. Before a draw nobody has a number, and
// who is next needs none.
func (r *reader) number(v *View) (number, label string, about bool) {
	switch {
	case v.Phase == Early && v.Drawn:
		return "", "", false
	case !v.Known:
		return "…", r.count("number.label", 2, nil), false
	case v.High == 0:
		return "", r.text("number.next", nil), false
	}
	return r.digits(int64(v.High)), r.count("number.label", int64(v.High), nil), v.Young || v.Low != v.High
}

// clock writes an instant for people who have no script to put it into their own zone and words: in figures that are
// read the same everywhere. Empty for none.
func clock(micros int64) string {
	if micros <= 0 {
		return ""
	}
	return time.UnixMicro(micros).UTC().Format("2006-01-02 15:04 UTC")
}

// Minutes from which a wait is told in steps of 5, of 10, and in hours. An estimate that is told more finely than it is
// known only jumps about.
const (
	waitFives = 20
	waitTens  = 60
	waitHours = 180
)

// wait is the P10 to P90 wait of the people from low to high.
func (r *reader) wait(l Line, low, high int64) string {
	if l.RateLow <= 0 || l.RateHigh <= 0 {
		return r.text("wait.unknown", nil)
	}
	least, most := low*1000/l.RateHigh, (high*1000+l.RateLow-1)/l.RateLow
	if most <= 1 {
		return r.text("wait.short", nil)
	}
	key, step := "wait.range", int64(1)
	switch {
	case most >= waitHours:
		key, step = "wait.hours", 60
	case most > waitTens:
		step = 10
	case most > waitFives:
		step = 5
	}
	least, most = least/step*step, (most+step-1)/step*step
	if step == 60 {
		least, most = least/60, most/60
	}
	if key == "wait.range" && least >= most-1 {
		return r.count("wait.minutes", most, nil)
	}
	return r.count(key, most, map[string]string{"low": r.digits(max(least, 1))})
}

func (r *reader) left(l Line) string {
	if l.Left < 0 {
		return ""
	}
	left := r.count("left.tickets", l.Left, nil)
	if l.Coming > 0 {
		return r.count("left.coming", l.Coming, map[string]string{"left": left})
	}
	return left
}

// price is a decimal amount as the reader's region writes it, with the currency's code, which nobody mistakes.
func (r *reader) price(l Line) string {
	amount, err := strconv.ParseFloat(l.Price, 64)
	if err != nil || l.Currency == "" {
		return ""
	}
	_, fraction, _ := strings.Cut(l.Price, ".")
	text := r.printer.Sprint(number.Decimal(amount, number.Scale(len(fraction))))
	return r.text("price.from", map[string]string{"price": text + "\u00a0" + l.Currency})
}

// Language is one that the page speaks: its tag, and its own name.
type Language struct{ Tag, Name string }

// Languages are those that the page speaks, the fallback first.
func Languages() ([]Language, error) {
	c, err := loadMessages()
	if err != nil {
		return nil, err
	}
	all := make([]Language, len(c.all))
	for i, w := range c.all {
		all[i] = Language{w.lang, w.fixed["name"]}
	}
	return all, nil
}

// has reports whether there is a file for a language's tag.
func (c catalog) has(lang string) bool {
	return slices.ContainsFunc(c.all, func(w *words) bool { return w.lang == lang })
}
