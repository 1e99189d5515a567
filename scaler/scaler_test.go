package scaler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// api answers instant queries by query text, as Prometheus' HTTP API does. It proves our reading of the documented
// format, not Prometheus itself.
type api map[string]string

func (a api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	result, known := a[r.FormValue("query")]
	if r.URL.Path != "/prom/api/v1/query" || !known {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"parse error"}`)
		return
	}
	fmt.Fprint(w, result)
}

func vector(values ...string) string {
	series := make([]string, 0, len(values))
	for _, v := range values {
		series = append(series, fmt.Sprintf(`{"metric":{"role":"x"},"value":[%d.25,%q]}`, noon.Unix(), v))
	}
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(series, ",") + `]}}`
}

// metric sums the series of one name whose role is the given one.
func metric(t *testing.T, g prometheus.Gatherer, name, role string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetName() == "role" && l.GetValue() == role {
					sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func start(t *testing.T, a api, rules []Rule) (*Scaler, *bytes.Buffer, *prometheus.Registry) {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	out, registry := new(bytes.Buffer), prometheus.NewRegistry()
	clock := func() time.Time { return noon }
	s, err := New(Config{PrometheusURL: server.URL + "/prom/", Rules: rules},
		Deps{Driver: NewDryRun(out, clock), Metrics: registry, Now: clock, Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return s, out, registry
}

func TestScaler_PrintsWhatItWouldDo(t *testing.T) {
	a := api{"load": vector("450"), "idle": vector("100"), `sum(up{role="booking"})`: vector("2"), "count": vector("1")}
	quiet := rule()
	quiet.Role, quiet.Query, quiet.CurrentQuery, quiet.Min = "admin", "idle", "count", 1
	s, out, registry := start(t, a, []Rule{rule(), quiet})
	s.Round(t.Context())
	want := "2026-12-01T12:00:00Z booking: would scale 2 -> 5 (load 450 at 100 a replica)\n" +
		"2026-12-01T12:00:00Z admin: would keep 1 (load 100 at 100 a replica)\n"
	if out.String() != want {
		t.Errorf("printed %q\nwant    %q", out, want)
	}
	for name, want := range map[string]float64{
		"fairgate_scaler_wanted_replicas": 5, "fairgate_scaler_decisions_total": 1, "fairgate_scaler_failures_total": 0,
	} {
		if got := metric(t, registry, name, "booking"); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestScaler_WithoutAUsableAnswerHolds(t *testing.T) {
	old := strings.Replace(vector("1"), fmt.Sprint(noon.Unix()), fmt.Sprint(noon.Add(-2*time.Minute).Unix()), 1)
	for name, answer := range map[string]string{
		"nothing":    vector(),
		"ambiguous":  vector("1", "2"),
		"nan":        vector("NaN"),
		"old":        old,
		"not json":   "<html>",
		"error":      `{"status":"error","error":"timeout"}`,
		"matrix":     `{"status":"success","data":{"resultType":"matrix","result":[]}}`,
		"bad point":  `{"status":"success","data":{"resultType":"scalar","result":[1]}}`,
		"not number": vector("many"),
		"endless":    strings.Repeat(" ", maxAnswer+10),
	} {
		s, out, registry := start(t, api{"load": answer, `sum(up{role="booking"})`: vector("9")}, []Rule{rule()})
		s.history[0].LowerSince = noon.Add(-time.Hour)
		s.Round(t.Context())
		if !strings.Contains(out.String(), "would keep 9 (load unknown)") {
			t.Errorf("%s: %q", name, out)
		}
		if n := metric(t, registry, "fairgate_scaler_failures_total", "booking"); n != 1 {
			t.Errorf("%s: %v failures counted", name, n)
		}
	}
}

func TestScaler_UnknownReplicasDecidesNothing(t *testing.T) {
	s, out, _ := start(t, api{"load": vector("450")}, []Rule{rule()})
	s.Round(t.Context())
	if out.Len() > 0 {
		t.Errorf("printed %q", out)
	}
	if s.Ready(t.Context()) == nil {
		t.Error("ready although prometheus answered only errors")
	}
}

func TestDecodeAnswer_ReadsScalars(t *testing.T) {
	o, err := decodeAnswer([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1764590400.5,"2.5"]}}`))
	if err != nil || o.Value != 2.5 || !o.Known || !o.At.Equal(time.UnixMilli(1764590400500)) {
		t.Fatalf("%+v, %v", o, err)
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add([]byte(vector("1")))
	f.Add([]byte(`{"status":"success","data":{"resultType":"scalar","result":[1e300,"1"]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if o, err := decodeAnswer(raw); (err == nil) != o.Known {
			t.Fatalf("%+v, %v", o, err)
		}
	})
}

// faulty is a driver that counts replicas itself and fails its first order.
type faulty struct {
	orders []Decision
	failed bool
}

func (f *faulty) Replicas(context.Context, string) (int, bool, error) { return 2, true, nil }

func (f *faulty) Apply(_ context.Context, d Decision) error {
	if !f.failed {
		f.failed = true
		return errors.New("refused")
	}
	f.orders = append(f.orders, d)
	return nil
}

func TestScaler_AFailedOrderIsTriedAgainWithoutCooldown(t *testing.T) {
	s, _, _ := start(t, api{"load": vector("450")}, []Rule{rule()})
	d := new(faulty)
	s.deps.Driver = d
	s.Round(t.Context())
	s.Round(t.Context())
	if len(d.orders) != 1 || d.orders[0].Replicas != 5 {
		t.Fatalf("orders: %+v", d.orders)
	}
}

// transport answers without a network, so that time can be simulated.
type transport struct{ asked int }

func (f *transport) RoundTrip(*http.Request) (*http.Response, error) {
	f.asked++
	return nil, errors.New("no network")
}

func TestScaler_RunAsksEveryIntervalAndStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(transport)
		s, err := New(Config{Rules: []Rule{rule()}, Every: 10 * time.Second},
			Deps{Driver: NewDryRun(new(bytes.Buffer), time.Now), Client: &http.Client{Transport: f}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if f.asked != 4 {
			t.Fatalf("asked %d times in 35 s", f.asked)
		}
	})
}

func TestNew_ReadsTheRulesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	deps := Deps{Driver: NewDryRun(new(bytes.Buffer), time.Now)}
	s, err := New(Config{RulesFile: path}, deps)
	if err != nil || len(s.rules) != 2 {
		t.Fatalf("%v", err)
	}
	twice := rule()
	if _, err := New(Config{RulesFile: path, Rules: []Rule{twice}}, deps); err == nil {
		t.Error("one role in both places was accepted")
	}
	if _, err := New(Config{RulesFile: path + "x"}, deps); err == nil || !strings.HasPrefix(err.Error(), "rulesFile:") {
		t.Errorf("missing file: %v", err)
	}
}

func TestConfig_ZeroWorksAndBadValuesAreNamed(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Fatal(err)
	}
	for key, c := range map[string]Config{
		"prometheusURL": {PrometheusURL: "localhost:9090"},
		"every":         {Every: time.Millisecond},
		"timeout":       {Timeout: -1},
		"maxAge":        {MaxAge: -1},
		"rules[0].role": {Rules: []Rule{{}}},
	} {
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s: got %v", key, err)
		}
	}
}

// TestScaler_RealPrometheusAnswers runs against the Prometheus at FAIRGATE_TEST_PROMETHEUS, where there is one.
func TestScaler_RealPrometheusAnswers(t *testing.T) {
	address := os.Getenv("FAIRGATE_TEST_PROMETHEUS")
	if address == "" {
		t.Skip("FAIRGATE_TEST_PROMETHEUS is not set")
	}
	r := rule()
	r.Query, r.CurrentQuery = "vector(450)", "scalar(vector(2))"
	broken := r
	broken.Role, broken.Query = "broken", "sum("
	empty := r
	empty.Role, empty.Query = "empty", `up{job="nowhere"}`
	out, log := new(bytes.Buffer), new(bytes.Buffer)
	s, err := New(Config{PrometheusURL: address, Rules: []Rule{r, broken, empty}},
		Deps{Driver: NewDryRun(out, time.Now), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	s.Round(t.Context())
	for _, want := range []string{"booking: would scale 2 -> 5", "broken: would keep 2 (load unknown)", "empty: would keep 2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("expected %q in %q", want, out)
		}
	}
	for _, want := range []string{"parse error", errNoValue.Error()} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("expected %q in log %q", want, log)
		}
	}
}
