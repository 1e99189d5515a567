package risk

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Facts is what is known about a request. The zero value knows nothing; the names that rules use stand behind each.
type Facts struct {
	Action         string // action: arrive, join, …
	UserAgent      string // userAgent
	AcceptLanguage string // acceptLanguage
	FetchSite      string // fetchSite: the Sec-Fetch-Site header
	Places         int    // places: in line from this network, in percent of what is expected there
	Failures       int    // failures: wrong solutions of this visitor lately
	Limited        int    // limited: refusals by rate limit of this address lately
	Carrier        bool   // carrier: the address is a listed carrier's
	Hosting        bool   // hosting: the address is a listed data centre's
	Returning      bool   // returning: the visitor brought a cookie of ours
	User           bool   // user: signed in
}

// factKind is how a fact may be asked about.
type factKind uint8

const (
	unknownFact factKind = iota
	textFact
	numberFact
	flagFact
)

// kindOf is the closed list of names.
func kindOf(name string) factKind {
	switch name {
	case "action", "userAgent", "acceptLanguage", "fetchSite":
		return textFact
	case "places", "failures", "limited":
		return numberFact
	case "carrier", "hosting", "returning", "user":
		return flagFact
	}
	return unknownFact
}

func (f *Facts) text(name string) string {
	switch name {
	case "action":
		return f.Action
	case "userAgent":
		return f.UserAgent
	case "acceptLanguage":
		return f.AcceptLanguage
	}
	return f.FetchSite
}

func (f *Facts) number(name string) int {
	switch name {
	case "places":
		return f.Places
	case "failures":
		return f.Failures
	}
	return f.Limited
}

func (f *Facts) flag(name string) bool {
	switch name {
	case "carrier":
		return f.Carrier
	case "hosting":
		return f.Hosting
	case "returning":
		return f.Returning
	}
	return f.User
}

// maxText is how much of a header a rule looks at, in bytes.
const maxText = 512

// condition is a checked rule.
type condition struct {
	rule   Rule
	kind   factKind
	needle []byte // lower case
	number int
}

func (r Rule) compile() (condition, error) {
	c := condition{rule: r, kind: kindOf(r.Fact)}
	if r.Score < -MaxScore || r.Score > MaxScore || r.Score == 0 {
		return c, fmt.Errorf("score: expected -%d to %d and not 0, got %d", MaxScore, MaxScore, r.Score)
	}
	var err error
	switch {
	case c.kind == unknownFact:
		return c, fmt.Errorf("fact: %q is not known", r.Fact)
	case c.kind == textFact && r.Is == "contains" && r.Value != "":
		c.needle = []byte(strings.ToLower(r.Value))
	case c.kind == numberFact && (r.Is == "atLeast" || r.Is == "atMost"):
		if c.number, err = strconv.Atoi(r.Value); err != nil {
			return c, fmt.Errorf("value: expected a whole number, got %q", r.Value)
		}
	case c.kind == textFact && r.Is == "missing" && r.Value == "":
	case c.kind == flagFact && (r.Is == "true" || r.Is == "false") && r.Value == "":
	default:
		return c, fmt.Errorf("is: %q with value %q does not suit the fact %s (text: missing, contains; number: atLeast, "+
			"atMost; flag: true, false)", r.Is, r.Value, r.Fact)
	}
	return c, nil
}

// lowered remembers the last text that was searched, in lower case: most rules that search look at the same one.
type lowered struct {
	fact string
	n    int
	room [maxText]byte
	long []byte // text with letters beyond ASCII, which may take more bytes in lower case
}

func (l *lowered) of(fact, s string) []byte {
	if l.fact != fact {
		l.fill(fact, s[:min(len(s), maxText)])
	}
	if l.long != nil {
		return l.long
	}
	return l.room[:l.n]
}

func (l *lowered) fill(fact, s string) {
	l.fact, l.n, l.long = fact, len(s), nil
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			l.long = []byte(strings.ToLower(s))
			return
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		l.room[i] = c
	}
}

func (c *condition) holds(f *Facts, low *lowered) bool {
	switch c.kind {
	case textFact:
		s := f.text(c.rule.Fact)
		if c.rule.Is == "missing" {
			return strings.TrimSpace(s) == ""
		}
		return bytes.Contains(low.of(c.rule.Fact, s), c.needle)
	case numberFact:
		if c.rule.Is == "atLeast" {
			return f.number(c.rule.Fact) >= c.number
		}
		return f.number(c.rule.Fact) <= c.number
	default:
		return f.flag(c.rule.Fact) == (c.rule.Is == "true")
	}
}
