package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// ringIn parses a file of keys.
func ringIn(t *testing.T, path string) []token.Key {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := token.ParseKeys(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeys_RotateReplacesTheFileAndOldTokensStayValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places")
	first, err := newKey(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := token.NewKeys(ringIn(t, path))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	challenge, err := before.MintChallenge(wire.Place{Room: 7, Instant: now, Visitor: wire.ID{1}}, token.Price{Difficulty: 8})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := realMain([]string{"keys", "rotate", "places", "--file", path, "--ahead", "2h"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	keys := ringIn(t, path)
	if len(keys) != 2 || keys[1].ID != 2 || strings.Contains(out.String(), keys[1].Text()) {
		t.Fatalf("%v: %s", keys, out.String())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	after, err := token.NewKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := after.VerifyChallenge(challenge, 7, wire.ID{1}, now+1, 0); err != nil {
		t.Errorf("a challenge from before the rotation: %v", err)
	}
}

func TestKeys_RotateSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "places")
	if err := os.WriteFile(path, []byte("nonsense and a secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"places", "--file", path}, "keys.places: line 1"},
		{[]string{"places", "--file", path, "--ahead", "1s"}, "--ahead"},
		{[]string{"tickets", "--file", path}, "places"},
	} {
		var out, errs bytes.Buffer
		if code := realMain(append([]string{"keys", "rotate"}, c.args...), &out, &errs); code == 0 || !strings.Contains(errs.String(), c.says) ||
			strings.Contains(errs.String(), "nonsense") {
			t.Errorf("%v: exit %d, %s", c.args, code, errs.String())
		}
	}
}
