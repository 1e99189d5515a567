package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocs_TheTestsThatPagesNameAreThere keeps promises and their tests together: a page that says what holds a promise may not
// outlive it. A name with * or … in it stands for some test at least.
func TestDocs_TheTestsThatPagesNameAreThere(t *testing.T) {
	root := filepath.Join("..", "..")
	there := map[string]bool{}
	defined := regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return skipped(err)
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range defined.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatal(pages, err)
	}
	named, all := regexp.MustCompile("`((?:Test|Benchmark|Fuzz)[A-Z][\\w*…]+)`"), 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllSubmatch(text, -1) {
			if all++; !some(there, string(m[1])) {
				t.Errorf("%s names %s, which is not there", filepath.Base(page), m[1])
			}
		}
	}
	if all < 30 {
		t.Errorf("only %d tests are named", all)
	}
}

// some says whether a test of this name, or of this pattern of names, is there.
func some(there map[string]bool, name string) bool {
	if !strings.ContainsAny(name, "*…") {
		return there[name]
	}
	pattern := regexp.MustCompile("^" + strings.NewReplacer("*", `\w*`, "…", `\w*`).Replace(name) + "$")
	return slices.ContainsFunc(slices.Collect(maps.Keys(there)), pattern.MatchString)
}

func skipped(err error) error {
	if err != nil {
		return err
	}
	return fs.SkipDir
}
