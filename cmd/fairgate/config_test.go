package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairgate/internal/conf"
	"fairgate/scaler"
)

// exampleConfig writes deploy/fairgate.example.yaml into a folder, with secrets that deploy/secrets.sh has made there, and
// returns its path. replace are pairs of texts, each of which must occur.
func exampleConfig(t *testing.T, replace ...string) string {
	t.Helper()
	dir := t.TempDir()
	script := exec.Command("bash", "../../deploy/secrets.sh", dir)
	script.Env = append(os.Environ(), "STRIPE_SECRET_KEY=sk_test_1", "STRIPE_WEBHOOK_SECRET=whsec_1")
	if out, err := script.CombinedOutput(); err != nil {
		t.Fatalf("deploy/secrets.sh: %v\n%s", err, out)
	}
	b, err := os.ReadFile("../../deploy/fairgate.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("the example has no %q", replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	text = strings.ReplaceAll(text, "file:/run/secrets/", "file:"+dir+"/secrets/")
	path := filepath.Join(dir, "fairgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReference_IsThePageInDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != reference() {
		t.Error("docs/configuration.md is stale: run make docs")
	}
}

func TestReference_EveryKeyHasAMeaning(t *testing.T) {
	for line := range strings.Lines(reference()) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, ""), "|")
		if len(cells) == 6 && strings.TrimSpace(cells[4]) == "" {
			t.Errorf("no help: %s", line)
		}
	}
}

func TestExample_LoadsAndItsRulesToo(t *testing.T) {
	var cfg Config
	if err := conf.Load(&cfg, conf.Source{File: exampleConfig(t)}); err != nil {
		t.Fatal(err)
	}
	if got := cfg.Postgres.Write.Reveal(); !strings.HasPrefix(got, "postgres://fairgate:") {
		t.Error("postgres.write did not come from its secret")
	}
	cfg.Scaler.RulesFile = "../../deploy/scaler.yaml"
	if _, err := scaler.New(cfg.Scaler, scaler.Deps{Driver: scaler.NewDryRun(&bytes.Buffer{}, nil)}); err != nil {
		t.Error(err)
	}
}

func TestSecrets_ASecondRunChangesNothing(t *testing.T) {
	path := exampleConfig(t)
	dir := filepath.Dir(path)
	read := func() string {
		var all strings.Builder
		for _, name := range []string{".env", "secrets/places", "secrets/postgres-url", "secrets/stripe-secret-key"} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
		}
		return all.String()
	}
	before := read()
	again := exec.Command("bash", "../../deploy/secrets.sh", dir)
	again.Env = append(os.Environ(), "STRIPE_SECRET_KEY=sk_test_2")
	if out, err := again.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if read() != before {
		t.Error("a second run changed a secret")
	}
}

func TestMain_AWrongConfigurationStopsItWithKeyAndExpectation(t *testing.T) {
	for name, c := range map[string]struct {
		replace []string
		args    []string
		want    []string
	}{
		"missing secret": {
			replace: []string{"  guestKey: file:/run/secrets/guest\n", ""},
			want:    []string{"booking.guestKey: expected a secret of at least 16 bytes"},
		},
		"missing secrets of every role": {
			replace: []string{"  secret: file:/run/secrets/network\n", "", "  places: file:/run/secrets/places\n", ""},
			want:    []string{"keys.places: ", "botguard.secret: expected a secret of at least 32 characters"},
		},
		"missing secret of the payment provider": {
			replace: []string{"  secretKey: file:/run/secrets/stripe-secret-key\n", ""},
			want:    []string{"stripe.secretKey: expected Stripe's secret key, which begins with sk_ or rk_"},
		},
		"missing secret of the webhook": {
			replace: []string{"    secret: file:/run/secrets/stripe-webhook-secret\n", "    tolerance: 300s\n"},
			want:    []string{"workers.webhook.secret: expected the endpoint's signing secret, which begins with whsec_"},
		},
		"a live key beside a test key": {
			args: []string{"--set", "stripe.publishableKey=pk_live_1"},
			want: []string{"stripe.publishableKey: expected a key of the secret key's mode: both live, or both test"},
		},
		"secret whose file is not there": {
			replace: []string{"/stripe-secret-key", "/nowhere"},
			want:    []string{"stripe.secretKey: expected a readable file after file:"},
		},
		"unknown key": {
			replace: []string{"  publicURL:", "  publicUrl:"},
			want:    []string{"booking.publicUrl: no such key; did you mean publicURL? ("},
		},
		"unknown section": {
			replace: []string{"\nbotguard:", "\nbotgaurd:"},
			want:    []string{"botgaurd: no such key; did you mean botguard? ("},
		},
		"bad port": {
			replace: []string{"0.0.0.0:9100", "0.0.0.0:91000"},
			want:    []string{`ops.address: expected host:port with a port from 0 to 65535, got "0.0.0.0:91000"`},
		},
		"wrong type": {
			args: []string{"--set", "shutdown.window=soon"},
			want: []string{`shutdown.window: expected a duration such as 5m or 250ms, got "soon" (from the command line)`},
		},
		"partitions that are not there": {
			args: []string{"--set", "processor.ordersPartitions=0,1", "--set", "kafka.queuePartitions=2", "--set", "processor.queuePartitions=1,1"},
			want: []string{"processor.ordersPartitions: partition 1 is none of the log's, which are 0 to 0",
				"processor.queuePartitions: partition 1 is named twice"},
		},
		"no brokers": {
			replace: []string{"[kafka1:9092, kafka2:9092, kafka3:9092]", "[]"},
			want:    []string{"kafka.brokers: expected at least one host:port"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := exampleConfig(t, c.replace...)
			for _, role := range []string{"waitingroom", "check-config"} {
				var out, errs bytes.Buffer
				code := realMain(append([]string{role, "--config", path}, c.args...), &out, &errs)
				if code != 1 {
					t.Errorf("%s: exit code %d, want 1", role, code)
				}
				for _, want := range c.want {
					if !strings.Contains(errs.String(), want) {
						t.Errorf("%s: expected %q in\n%s", role, want, errs.String())
					}
				}
				if strings.Contains(errs.String(), "sk_test_1") || strings.Contains(errs.String(), "goroutine") {
					t.Errorf("%s says what it should not:\n%s", role, errs.String())
				}
			}
		})
	}
}

func TestMain_APortInUseNamesAddressAndKey(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	path := exampleConfig(t, "0.0.0.0:9100", address, "  rulesFile: /etc/fairgate/scaler.yaml\n", "")
	var out, errs bytes.Buffer
	if code := realMain([]string{"scaler", "--config", path, "--set", "log.level=error"}, &out, &errs); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, want := range []string{address, "already in use", "set ops.address to another"} {
		if !strings.Contains(errs.String(), want) {
			t.Errorf("expected %q in\n%s", want, errs.String())
		}
	}
}

func TestMain_CheckConfigAcceptsTheExample(t *testing.T) {
	var out, errs bytes.Buffer
	if code := realMain([]string{"check-config", "--config", exampleConfig(t), "--print"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	if strings.Contains(out.String(), "sk_test_1") || !strings.Contains(out.String(), "secretKey: secret") {
		t.Errorf("secrets in what it prints:\n%s", out.String())
	}
}
