package notify

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"fairgate/internal/store"
)

//go:embed texts/*.tmpl
var files embed.FS

// fallback is the language of those who have none of ours.
const fallback = "en"

// texts are the templates of each language, named after the file: "held.subject", "held.body".
type texts map[string]*template.Template

func readTexts() (texts, error) {
	names, err := fs.Glob(files, "texts/*.tmpl")
	if err != nil {
		return nil, err
	}
	all := texts{}
	for _, name := range names {
		t, err := template.New(name).Option("missingkey=zero").ParseFS(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		all[strings.TrimSuffix(path.Base(name), ".tmpl")] = t
	}
	return all, nil
}

// view is what a text may use.
type view struct {
	Name    string // of the fan; may be empty
	Event   string
	Link    string // to the booking; may be empty
	Amount  string // decimal, with its currency; may be empty
	Booking string
	Day     string   // of a report
	Lines   []string // of a report, one a currency
	Trouble []string // of a report: what needs somebody
}

// render writes a notice in the contact's language; ok is false if there is no text for its kind.
func (t texts) render(n store.Notice, shop string) (subject, body string, ok bool, err error) {
	language, _, _ := strings.Cut(strings.ToLower(n.Locale), "-")
	chosen := t[language]
	if chosen == nil || chosen.Lookup(n.Kind+".subject") == nil {
		chosen = t[fallback]
	}
	if chosen.Lookup(n.Kind+".subject") == nil {
		return "", "", false, nil
	}
	v := view{Name: n.Name, Event: n.EventName, Booking: n.Booking.String()}
	if shop != "" && !n.Booking.IsZero() {
		v.Link = shop + "/booking/" + v.Booking
	}
	amount, _ := n.Data["amount"].(string)
	currency, _ := n.Data["currency"].(string)
	v.Amount = strings.TrimSpace(amount + " " + currency)
	v.Day, _ = n.Data["day"].(string)
	lines, _ := n.Data["lines"].([]any)
	for _, l := range lines {
		v.Lines = append(v.Lines, fmt.Sprint(l))
	}
	for _, t := range []struct{ key, text string }{
		{"disputes", "%d open disputes"}, {"failedRefunds", "%d refunds that failed or wait for somebody"},
		{"differences", "%d differences between the payment provider's books and ours"},
	} {
		if count, _ := n.Data[t.key].(float64); count > 0 {
			v.Trouble = append(v.Trouble, fmt.Sprintf(t.text, int64(count)))
		}
	}
	if subject, err = execute(chosen, n.Kind+".subject", v); err != nil {
		return "", "", false, err
	}
	body, err = execute(chosen, n.Kind+".body", v)
	return subject, body, true, err
}

func execute(t *template.Template, name string, v view) (string, error) {
	var b strings.Builder
	if err := t.ExecuteTemplate(&b, name, v); err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	return strings.TrimSpace(b.String()), nil
}
