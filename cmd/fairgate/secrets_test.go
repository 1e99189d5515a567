package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecrets_AFolderOfBeforeReceiptsGetsTheirKeyAndKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	first, err := loadSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "secrets.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var old strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "receipts:") {
			old.WriteString(line)
		}
	}
	if err := os.WriteFile(path, []byte(old.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	second, err := loadSecrets(dir)
	if err != nil || second.Receipts == "" || second.Receipts == first.Receipts {
		t.Fatalf("no new key: %v", err)
	}
	third, err := loadSecrets(dir)
	if err != nil || third != second {
		t.Errorf("another key at the next start: %v", err)
	}
	if second.Receipts = first.Receipts; second != first {
		t.Error("other secrets changed")
	}
}

func TestKeys_PublicKeysOfReceiptsArePrintedWithoutTheSecret(t *testing.T) {
	path := exampleConfig(t)
	code, out, errs := runMain("keys", "public", "--config", path)
	if code != 0 || !strings.Contains(out, `"crv":"Ed25519"`) || !strings.Contains(out, `"kid":"1"`) {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	secret, err := os.ReadFile(filepath.Join(filepath.Dir(path), "secrets", "receipts"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, strings.Fields(string(secret))[3]) {
		t.Error("it prints the secret")
	}
}
