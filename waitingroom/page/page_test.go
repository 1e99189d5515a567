package page

import (
	"regexp"
	"strings"
	"testing"
)

var phases = []Phase{Arriving, Checking, Ready, Waiting, Early, Paused, SoldOut, Invited, Admitted, Missed, Closed, Ended}

func newPage(t testing.TB) *Page {
	t.Helper()
	p, err := New([]byte("solver"))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func html(t testing.TB, p *Page, v View, accept string) string {
	t.Helper()
	b, err := p.Render(v, "", accept)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPage_EveryPhaseHasItsWordsInEveryLanguage(t *testing.T) {
	p := newPage(t)
	for _, w := range p.messages.all {
		for _, phase := range phases {
			out := html(t, p, View{Room: 4, Name: "Hall", Phase: phase, Next: "/x", Until: 1, Line: Line{Left: -1, Coming: -1}}, w.lang)
			if !strings.Contains(out, `<html lang="`+w.lang+`" dir="`+w.fixed["dir"]+`"`) {
				t.Errorf("%s: not in that language", w.lang)
			}
			for _, id := range []string{"headline", "todo"} {
				m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(out)
				if m == nil || m[1] == "" || strings.ContainsAny(m[1], "{}") {
					t.Errorf("%s, %s: %s is %q", w.lang, phase, id, m)
				}
			}
		}
	}
}

func TestPage_HoldsNothingInline(t *testing.T) {
	out := html(t, newPage(t), View{Room: 4, Name: "Hall", Phase: Waiting, Known: true, High: 3, Low: 3}, "en")
	if regexp.MustCompile(`<script>|<style|\son\w+=|\sstyle=|javascript:`).MatchString(out) {
		t.Error("inline script or style")
	}
	if regexp.MustCompile(`(?:src|href)="https?:`).MatchString(out) {
		t.Error("a third party")
	}
}

func TestPage_AHostileNameIsText(t *testing.T) {
	out := html(t, newPage(t), View{Room: 4, Name: `</title><script>alert(1)</script>"`, Next: "javascript:alert(1)", Phase: Admitted}, "en")
	if strings.Contains(out, "<script>alert") || strings.Contains(out, `href="javascript:`) {
		t.Errorf("%s", out)
	}
}

// What the script asks for must be among its words, under the elements that it looks up.
func TestPage_TheScriptFindsItsWordsAndElements(t *testing.T) {
	p := newPage(t)
	script := string(p.scripts["en"].Body)
	for _, key := range regexp.MustCompile(`text\("([^"]+)"[,)]`).FindAllStringSubmatch(string(roomJS), -1) {
		if !strings.Contains(script, `"`+key[1]+`":`) {
			t.Errorf("the script asks for the words %q", key[1])
		}
	}
	out := html(t, p, View{Phase: Arriving}, "en")
	for _, id := range regexp.MustCompile(`(?:\$|set|line|on)\("([a-z-]+)"[,)]`).FindAllStringSubmatch(string(roomJS), -1) {
		if !strings.Contains(out, ` id="`+id[1]+`"`) {
			t.Errorf("the script looks for the element %q", id[1])
		}
	}
}

func TestPage_SaysWhoIsNextWithoutANumber(t *testing.T) {
	out := html(t, newPage(t), View{Phase: Waiting, Known: true}, "en")
	if !strings.Contains(out, `<strong id="number"></strong> <span id="number-label">You are next</span>`) {
		t.Errorf("%s", out)
	}
}

func TestPage_PromisesNoOrderBeforeADraw(t *testing.T) {
	out := html(t, newPage(t), View{Phase: Early, Drawn: true, Known: true, Low: 7, High: 9, Until: 1}, "en")
	if !strings.Contains(out, "takes part in a draw") || strings.Contains(out, "in this order") || strings.Contains(out, ">9<") {
		t.Errorf("%s", out)
	}
}

func TestPage_TheLanguageChosenComesBeforeTheHeader(t *testing.T) {
	p := newPage(t)
	b, err := p.Render(View{Phase: Arriving}, "vi", "fr")
	if err != nil || !strings.Contains(string(b), `<html lang="vi"`) {
		t.Errorf("%v %.60s", err, b)
	}
	if b, err = p.Render(View{Phase: Arriving}, "xx", "fr"); err != nil || !strings.Contains(string(b), `<html lang="fr"`) {
		t.Errorf("%v %.60s", err, b)
	}
}

func TestPolicy_LetsTheEnterFormLeaveOnlyForItsDestination(t *testing.T) {
	for next, want := range map[string]string{
		"/events/7":                "form-action 'self';",
		"https://shop.example/x?y": "form-action 'self' https://shop.example;",
		"javascript:alert(1)":      "form-action 'self';",
	} {
		if got := Policy(next); !strings.Contains(got, want) {
			t.Errorf("%s: %s", next, got)
		}
	}
}
