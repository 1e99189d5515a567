package main

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// components never import each other; they meet in the logs, or in cmd.
var components = []string{"waitingroom", "botguard", "booking", "processor", "workers", "admin", "scaler"}

// floor says which of our packages a package under internal/ may import, by first folder. What is not listed here may
// not exist: a new package takes its place in this table first.
var floor = map[string][]string{
	"sale":      {},
	"conf":      {},
	"run":       {},
	"roomtime":  {},
	"huge":      {},
	"table":     {"huge"},
	"wire":      {"sale"},
	"receipt":   {"sale", "wire"},
	"estimate":  {"wire"},
	"web":       {"run"},
	"store":     {"sale", "conf", "run", "wire"},
	"eventlog":  {"sale", "conf", "run", "wire"},
	"follow":    {"sale", "wire", "eventlog"},
	"engine":    {"sale", "table", "wire", "eventlog", "store", "follow", "run"},
	"answer":    {"sale", "wire", "eventlog", "follow", "run"},
	"payment":   {"sale", "wire", "conf", "eventlog", "store", "run"},
	"stripesim": {"sale"},
	"embedded":  {"eventlog", "store", "run", "sale", "wire"},
	"verify":    {"sale", "wire", "receipt", "eventlog", "store"},
	"crowd":     {"sale", "wire"},
	"bench":     {},                                                          // tests only, which may import everything
	"chaos":     {"sale", "wire", "eventlog", "follow", "store", "embedded"}, // supports tests; only they import it
}

// pure cores: no clock, no randomness, no I/O, no goroutines, no floating point; replicas must agree to the bit.
var pure = []string{
	"fairgate/waitingroom/token", "fairgate/waitingroom/queue", "fairgate/waitingroom/outflow",
	"fairgate/processor/stock", "fairgate/botguard/puzzle", "fairgate/internal/sale", "fairgate/internal/table",
	"fairgate/internal/wire", "fairgate/internal/engine/spread",
}

// pureRooms are those of ours that a pure core may import. What huge does has no effect but on time.
var pureRooms = []string{
	"fairgate/internal/sale", "fairgate/internal/huge", "fairgate/internal/table", "fairgate/internal/wire",
	"fairgate/waitingroom/outflow",
}

// pureImports are what a pure core may import beside them.
var pureImports = []string{
	"bytes", "cmp", "container/heap", "crypto/hmac", "crypto/sha256", "crypto/subtle", "encoding/base64", "encoding/binary",
	"encoding/hex", "encoding/json", "errors", "fmt", "hash", "iter", "maps", "math", "math/bits", "slices", "sort", "strconv",
	"strings", "unicode/utf8", "github.com/cespare/xxhash/v2",
}

type listed struct {
	ImportPath string
	Imports    []string
	GoFiles    []string
	Dir        string
}

func tree(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,GoFiles,Dir", "fairgate/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 20 {
		t.Fatalf("only %d packages were listed", len(all))
	}
	return all
}

// room is the first folder of a package of ours, and the second for internal/.
func room(path string) (first, second string) {
	parts := strings.Split(strings.TrimPrefix(path, "fairgate/"), "/")
	if len(parts) > 1 {
		second = parts[1]
	}
	return parts[0], second
}

// simulated is the whole system in one goroutine: it drives the cores of many rooms at once, which nothing that runs in
// production may do.
const simulated = "fairgate/internal/simulation"

// support says whether a package only supports tests: testpg, paytest, the simulation. It may import what tests import.
func support(path string) bool {
	if path == simulated || strings.HasPrefix(path, simulated+"/") {
		return true
	}
	last := path[strings.LastIndex(path, "/")+1:]
	return strings.HasPrefix(last, "test") || strings.HasSuffix(last, "test")
}

func TestArrows_PointOneWay(t *testing.T) {
	for _, p := range tree(t) {
		first, second := room(p.ImportPath)
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, "fairgate/") {
				continue
			}
			to, to2 := room(imp)
			switch {
			case support(imp) && !support(p.ImportPath):
				t.Errorf("%s imports %s: only tests import what supports tests", p.ImportPath, imp)
			case first == "cmd" || support(p.ImportPath):
			case to == "cmd":
				t.Errorf("%s imports %s: nothing imports cmd", p.ImportPath, imp)
			case slices.Contains(components, first) && slices.Contains(components, to) && first != to:
				t.Errorf("%s imports %s: components never import each other", p.ImportPath, imp)
			case first == "internal" && to != "internal":
				t.Errorf("%s imports %s: what is shared never imports a component", p.ImportPath, imp)
			case first == "internal" && second != to2:
				allowed, known := floor[second]
				if !known {
					t.Errorf("%s: internal/%s has no place in the table of this test", p.ImportPath, second)
				} else if !slices.Contains(allowed, to2) {
					t.Errorf("%s imports %s: internal/%s may import only %v", p.ImportPath, imp, second, allowed)
				}
			}
		}
	}
}

func TestArrows_TheVerifiersModelSharesOnlyTheWire(t *testing.T) {
	found := false
	for _, p := range tree(t) {
		if p.ImportPath != "fairgate/internal/verify/model" {
			continue
		}
		found = true
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, "fairgate/") && imp != "fairgate/internal/wire" {
				t.Errorf("the model imports %s: it must share nothing with the machines but internal/wire", imp)
			}
		}
	}
	if !found {
		t.Error("internal/verify/model is missing")
	}
}

func TestArrows_CoresArePure(t *testing.T) {
	seen := 0
	for _, p := range tree(t) {
		if !slices.Contains(pure, p.ImportPath) {
			continue
		}
		seen++
		for _, imp := range p.Imports {
			if !slices.Contains(pureRooms, imp) && !slices.Contains(pureImports, imp) {
				t.Errorf("%s imports %s: a pure core has no clock, randomness, I/O or goroutines", p.ImportPath, imp)
			}
		}
		for _, f := range p.GoFiles {
			checkPureSource(t, p, f)
		}
	}
	if seen != len(pure) {
		t.Errorf("%d of %d pure cores were found", seen, len(pure))
	}
}
