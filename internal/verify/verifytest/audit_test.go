package verifytest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/internal/embedded/testlog"
	"fairgate/internal/verify"
	"fairgate/internal/wire"
)

// audit is an auditor at work on one partition of `orders`.
type audit struct {
	*verify.Auditor
	t        *testing.T
	registry *prometheus.Registry
	said     testlog.Buffer
	end      func() error
}

func newAudit(t *testing.T, k *kafka) *audit {
	a := &audit{t: t, registry: prometheus.NewRegistry()}
	var err error
	a.Auditor, err = verify.NewAuditor(verify.Config{OrdersPartitions: 1, Prefix: k.prefix}, verify.Deps{Events: k.log},
		slog.New(slog.NewTextHandler(&a.said, nil)), a.registry)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	a.end = sync.OnceValue(func() error { stop(); return <-ended })
	t.Cleanup(func() { _ = a.end() })
	return a
}

// until waits for something that the audit will come to.
func (a *audit) until(what string, ok func() bool) {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			a.t.Fatalf("not in a minute: %s; it said %s", what, a.said.String())
		}
	}
}

// sum is a metric over all its labels.
func (a *audit) sum(name string) float64 {
	sum, _ := a.series(name)
	return sum
}

// series is how many series a metric has, and their sum.
func (a *audit) series(name string) (sum float64, n int) {
	a.t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		a.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			n++
		}
	}
	return sum, n
}

func TestAuditor_ChecksWhatIsThereAndThenEachRecordAsItIsAnswered(t *testing.T) {
	k, o := newKafka(t), someOrders(t, 400)
	half := len(o.records) / 2
	k.append(wire.TopicOrders, o.records[:half])
	k.append(wire.TopicOutcomes, o.outcomes[:o.starts[half]])
	a := newAudit(t, k)
	a.until("it is ready", func() bool { return a.Ready(t.Context()) == nil })
	if n := a.sum("fairgate_audit_records_total"); n != float64(half) {
		t.Fatalf("%v of %d records were checked", n, half)
	}
	// Records come first; their outcomes when a leader is there again, and some of them twice.
	k.append(wire.TopicOrders, o.records[half:])
	k.append(wire.TopicOutcomes, o.outcomes[o.starts[half]-3:])
	a.until("all is checked", func() bool { return a.sum("fairgate_audit_next_offset") == float64(len(o.records)) })
	if violations, n := a.series("fairgate_audit_violations_total"); n != 8 || violations != 0 || a.said.String() != "" {
		t.Errorf("%d series, wanted one for each promise, with %v violations; said %s", n, violations, a.said.String())
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
}

func TestAuditor_TellsOfABrokenPromiseAndGoesOn(t *testing.T) {
	k, o := newKafka(t), someOrders(t, 300)
	k.append(wire.TopicOrders, o.records)
	wrong := make([][]byte, len(o.outcomes))
	copy(wrong, o.outcomes)
	at := len(wrong) / 2
	wrong[at] = bytes.Clone(wrong[at])
	wrong[at][32]++ // of another event
	k.append(wire.TopicOutcomes, wrong)
	a := newAudit(t, k)
	a.until("all is checked", func() bool { return a.sum("fairgate_audit_next_offset") == float64(len(o.records)) })
	if a.sum("fairgate_audit_violations_total") == 0 {
		t.Error("nothing was counted")
	}
	for _, want := range []string{"a promise is broken", "explanation=", "story=", "hurts="} {
		if !strings.Contains(a.said.String(), want) {
			t.Errorf("%q is not in %s", want, a.said.String())
		}
	}
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
}

func TestAuditor_RefusesWhatDoesNotGrow(t *testing.T) {
	k, o := newKafka(t), someOrders(t, 20)
	k.append(wire.TopicOrders, o.records)
	k.append(wire.TopicOutcomes, o.outcomes)
	dir := t.TempDir()
	cfg := verify.Config{OrdersPartitions: 1, Prefix: k.prefix}
	if _, err := verify.Dump(t.Context(), cfg, verify.Brokers(k.log), dir, nil); err != nil {
		t.Fatal(err)
	}
	folder, err := verify.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := verify.NewAuditor(cfg, verify.Deps{Source: folder}, slog.Default(), prometheus.NewRegistry()); err == nil {
		t.Error("a folder was accepted")
	}
	cfg.FromSnapshot = true
	if _, err := verify.NewAuditor(cfg, verify.Deps{Events: k.log}, slog.Default(), prometheus.NewRegistry()); err == nil {
		t.Error("a snapshot was accepted")
	}
}
