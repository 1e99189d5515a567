package simulation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBugs breaks production code in the ways of testdata/bugs, one at a time, and demands that each is found among the
// seeds that TestSimulation lives through. It compiles for minutes, so it runs only when asked: make sim-bugs.
func TestBugs_EveryDeliberateOneIsFound(t *testing.T) {
	if os.Getenv("FAIRGATE_TEST_BUGS") == "" {
		t.Skip("set FAIRGATE_TEST_BUGS=1 (make sim-bugs)")
	}
	patches, err := filepath.Glob("testdata/bugs/*.patch")
	if err != nil || len(patches) < 20 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	for _, patch := range patches {
		t.Run(strings.TrimSuffix(filepath.Base(patch), ".patch"), func(t *testing.T) {
			t.Parallel()
			found(t, patch)
		})
	}
}

// found builds the campaign with a patch laid over the tree, and runs it.
func found(t *testing.T, patch string) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	dir := t.TempDir()
	program := filepath.Join(dir, "campaign")
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay(t, dir, patch), "-ldflags=-s -w", "-o", program, "./campaign")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building with the bug: %v\n%s", err, out)
	}
	run := exec.CommandContext(ctx, program, "-seeds", fmt.Sprint(*seeds), "-most", "1", "-workers", "1")
	run.Env = append(os.Environ(), "GOGC=400")
	out, err := run.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		t.Fatalf("it hangs:\n%s", out)
	case err == nil:
		t.Errorf("not found in %d seeds:\n%s", *seeds, out)
	default:
		t.Log(shortened(string(out)))
	}
}

// overlay applies a patch to copies of the files that it names, and says so to the go command.
func overlay(t *testing.T, dir, patch string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(patch)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		name, ok := strings.CutPrefix(line, "+++ b/")
		if !ok {
			continue
		}
		source, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(dir, "tree", name)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, source, 0o644); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, name)] = copied
	}
	full, err := filepath.Abs(patch)
	if err != nil {
		t.Fatal(err)
	}
	apply := exec.CommandContext(t.Context(), "git", "apply", "-C1", full)
	apply.Dir = filepath.Join(dir, "tree")
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+dir)
	if out, err := apply.CombinedOutput(); err != nil {
		t.Fatalf("the patch does not fit any more, write it anew: %v\n%s", err, out)
	}
	file := filepath.Join(dir, "overlay.json")
	encoded, err := json.Marshal(map[string]any{"Replace": replace})
	if err == nil {
		err = os.WriteFile(file, encoded, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func shortened(out string) string {
	if i := strings.Index(out, "seed "); i >= 0 {
		out = out[i:]
	}
	return out[:min(len(out), 300)]
}
