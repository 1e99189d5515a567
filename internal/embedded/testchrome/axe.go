package testchrome

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"
)

// axeFile is where scripts/setup.sh puts axe-core, the checker of accessibility rules.
const axeFile = ".tools/axe/node_modules/axe-core/axe.min.js"

// axeRun runs every rule of WCAG 2.2 A and AA and the best practices on what the page shows now.
const axeRun = `axe.run(document, {resultTypes: ["violations"], runOnly: {type: "tag", values:
	["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}).then((r) => JSON.stringify({
	rules: r.passes.length + r.violations.length,
	found: r.violations.map((v) => v.id + " (" + v.help + "): " + v.nodes.map((n) => n.target.join(" ") + ": " +
		n.any.concat(n.all, n.none).map((c) => c.message).join("; ")).join(" | "))}))`

// Accessible fails the test for each rule of axe-core that the page breaks. Where axe-core is not installed the test is
// skipped, and fails if CI is set. The page's own policy holds: the checker comes in by the debugger.
func (p *Person) Accessible(state string) {
	p.T.Helper()
	script, err := os.ReadFile(filepath.Join(root(p.T), axeFile))
	if errors.Is(err, os.ErrNotExist) {
		missing(p.T, "axe-core is not installed: scripts/setup.sh test")
	}
	if err != nil {
		p.T.Fatal(err)
	}
	if ok, err := chromedp.Run(p.Context, chromedp.Evaluate[bool](string(script)+"; true")); err != nil || !ok {
		p.Fail("axe-core: %v", err)
	}
	text, err := chromedp.Run(p.Context, chromedp.Evaluate[string](axeRun, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fail("axe-core: %v", err)
	}
	var result struct {
		Rules int
		Found []string
	}
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		p.T.Fatal(err)
	}
	if result.Rules < 10 {
		p.T.Errorf("%s: axe-core looked at %d rules only", state, result.Rules)
	}
	if len(result.Found) > 0 {
		p.T.Errorf("%s breaks rules:\n%s", state, strings.Join(result.Found, "\n"))
	}
}
