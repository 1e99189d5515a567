package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairgate/internal/embedded"
	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/store"
	"fairgate/internal/stripesim"
	"fairgate/workers/reconcile"
)

// TestReconcile_CommandSaysWhatNobodyCanRepair plants a payment that was taken for nothing that we know, and one that is
// only reserved for it: the command reports the first and orders the second voided.
func TestReconcile_CommandSaysWhatNobodyCanRepair(t *testing.T) {
	sim, key, args := reconciling(t)
	run := func(more ...string) (code int, out, errs string) {
		var stdout, stderr bytes.Buffer
		code = realMain(append(append([]string{"reconcile"}, args...), more...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	if code, out, errs := run(); code != 0 || !strings.Contains(out, "0 differences") {
		t.Fatalf("an empty account: %d\n%s%s", code, out, errs)
	}
	taken, reserved := buyAt(t, sim, key, "automatic"), buyAt(t, sim, key, "manual")
	time.Sleep(2100 * time.Millisecond) // what is younger than workers.reconcile.settle is left alone, by the second
	code, out, errs := run("--json")
	var report reconcile.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 1 || !strings.Contains(errs, "1 differences need somebody") {
		t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	found := map[string]reconcile.Finding{}
	for _, f := range report.Findings {
		found[f.Object] = f
	}
	if len(found) != 2 || found[taken] != (reconcile.Finding{Reason: reconcile.PaidWithoutRow, Object: taken}) ||
		found[reserved] != (reconcile.Finding{Reason: reconcile.StrayIntent, Object: reserved, Repaired: true}) {
		t.Errorf("%+v", report.Findings)
	}
	if code, out, _ := run(); code != 1 || !strings.Contains(out, "paid-without-row") || !strings.Contains(out, taken) {
		t.Errorf("%d in words: %s", code, out)
	}
	if strings.Contains(out+errs, "_secret_") {
		t.Error("a client secret was printed")
	}
}

func TestReconcile_CommandSaysThatTheProviderIsAway(t *testing.T) {
	_, _, args := reconciling(t)
	var stdout, stderr bytes.Buffer
	code := realMain(append(append([]string{"reconcile"}, args...), "--set", "stripe.url=http://127.0.0.1:1"), &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "connection dial failed") || strings.Contains(stderr.String(), "sk_test") {
		t.Errorf("%d: %s%s", code, stdout.String(), stderr.String())
	}
}

// reconciling is an account at the provider and an installation without a sale, and the flags that lead there.
func reconciling(t *testing.T) (sim *stripesim.Sim, key string, args []string) {
	t.Helper()
	keys, err := newSecrets()
	if err != nil {
		t.Fatal(err)
	}
	sim, err = stripesim.New(stripesim.Config{
		SecretKey: keys.StripeKey, PublishableKey: keys.Publishable, PublicURL: "http://sim.test", Rate: stripesim.Rate{Total: -1, PerEndpoint: -1},
	}, stripesim.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(sim.Handler())
	t.Cleanup(func() { srv.Close(); _ = sim.Close() })
	redis, err := embedded.StartRedis("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	for name, value := range map[string]string{
		"postgres.write": testpg.Migrated(t, "rolling", store.Migrate), "kafka.brokers": strings.Join(testkafka.Brokers(t), ","),
		"kafka.replication": "1", "kafka.minInSync": "1", "kafka.topicPrefix": testkafka.Unique("reconcile") + "-", "clock.singleHost": "true",
		"redis.url": "redis://" + redis.Addr() + "/0", "stripe.url": srv.URL, "stripe.secretKey": keys.StripeKey,
		"stripe.publishableKey": keys.Publishable, "workers.webhook.secret": keys.Webhook, "workers.reconcile.settle": "1s",
		"keys.places": keys.Places, "keys.passes": keys.Passes, "keys.receipts": keys.Receipts, "botguard.secret": keys.Network,
		"booking.guestKey": keys.Guest, "log.level": "error",
	} {
		args = append(args, "--set", name+"="+value)
	}
	var out, errs bytes.Buffer
	if code := realMain(append([]string{"migrate"}, args...), &out, &errs); code != 0 {
		t.Fatalf("migrate: %d %s", code, errs.String())
	}
	return sim, keys.StripeKey, args
}

// buyAt is an intent that nobody of ours made, paid with a good card.
func buyAt(t *testing.T, sim *stripesim.Sim, key, capture string) string {
	t.Helper()
	body := "amount=2000&currency=eur&payment_method_types[0]=card&payment_method=pm_card_visa&confirm=true&capture_method=" + capture
	r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	sim.Handler().ServeHTTP(w, r)
	var made struct{ ID string }
	if err := json.Unmarshal(w.Body.Bytes(), &made); err != nil || made.ID == "" {
		t.Fatal(fmt.Errorf("%d %s: %w", w.Code, w.Body, err))
	}
	return made.ID
}
