package botguard

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairgate/botguard/risk"
)

// explained are the names that Explain knows, and what each sets.
var explained = map[string]func(r *Request, f *risk.Facts, value string) error{
	"action":         func(_ *Request, f *risk.Facts, v string) error { f.Action = v; return nil },
	"userAgent":      func(_ *Request, f *risk.Facts, v string) error { f.UserAgent = v; return nil },
	"acceptLanguage": func(_ *Request, f *risk.Facts, v string) error { f.AcceptLanguage = v; return nil },
	"fetchSite":      func(_ *Request, f *risk.Facts, v string) error { f.FetchSite = v; return nil },
	"failures":       func(_ *Request, f *risk.Facts, v string) (err error) { f.Failures, err = strconv.Atoi(v); return err },
	"limited":        func(_ *Request, f *risk.Facts, v string) (err error) { f.Limited, err = strconv.Atoi(v); return err },
	"returning": func(_ *Request, f *risk.Facts, v string) (err error) {
		f.Returning, err = strconv.ParseBool(v)
		return err
	},
	"user":    func(_ *Request, f *risk.Facts, v string) (err error) { f.User, err = strconv.ParseBool(v); return err },
	"address": func(r *Request, _ *risk.Facts, v string) (err error) { r.Address, err = netip.ParseAddr(v); return err },
	"narrow":  func(r *Request, _ *risk.Facts, v string) error { return number(&r.Places.Narrow, v) },
	"wide":    func(r *Request, _ *risk.Facts, v string) error { return number(&r.Places.Wide, v) },
	"broad":   func(r *Request, _ *risk.Facts, v string) error { return number(&r.Places.Broad, v) },
	"origin":  func(r *Request, _ *risk.Facts, v string) error { return number(&r.Places.Origin, v) },
}

func number(to *int64, text string) (err error) {
	*to, err = strconv.ParseInt(text, 10, 64)
	return err
}

// Explain says in lines for an operator what the guard would make of a request, by name and value: the facts that rules use;
// address, which says carrier and hosting; and narrow, wide, broad, origin, the places in line from its networks.
func (g *Guard) Explain(given map[string]string) ([]string, error) {
	var r Request
	f := risk.Facts{Action: ActionArrive}
	for name, value := range given {
		set := explained[name]
		if set == nil {
			var names []string
			for n := range explained {
				names = append(names, n)
			}
			slices.Sort(names)
			return nil, fmt.Errorf("%q is not known; there are: %s", name, strings.Join(names, ", "))
		}
		if err := set(&r, &f, value); err != nil {
			return nil, fmt.Errorf("%s: %q cannot be: %w", name, value, err)
		}
	}
	r.Address = r.Address.Unmap().WithZone("")
	f.Carrier, f.Hosting = g.carriers.contains(r.Address), g.hosting.contains(r.Address)
	f.Places = g.crowding(r.Places, f.Carrier)
	result := g.rules.Evaluate(f)
	price := g.price(r.Places, f.Carrier, result.Factor)
	return append(result.Explain(), fmt.Sprintf("price: %d sub-puzzles of %d expected hashes, %.2f times the base price (%d %% of the people "+
		"expected in its networks are in line)", price.SubPuzzles, price.Difficulty, float64(price.Difficulty)/float64(g.base.Difficulty), f.Places)), nil
}
