package conf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// role is a configuration with a field of every shape.
type role struct {
	Zone    string          `yaml:"zone" default:"Asia/Bangkok" help:"time zone | of the venue"`
	Booking booking         `yaml:"booking" help:"The public API."`
	Stripe  stripe          `yaml:"stripe"`
	Lanes   []lane          `yaml:"lanes" help:"one per lane"`
	Rates   map[string]rate `yaml:"rates"`
	Labels  map[string]int  `yaml:"labels"`
	hidden  int             //lint:ignore U1000 an unexported field must be left alone
}

type limits struct {
	MaxConnsPerIP int `default:"8" help:"connections per address"`
}

type booking struct {
	limits
	Address     string         `yaml:"address" default:"127.0.0.1:8080" help:"where to listen"`
	ReadTimeout time.Duration  `yaml:"readTimeout" default:"5s"`
	Proxies     []netip.Prefix `yaml:"proxies" default:"10.0.0.0/8, fd00::/8"`
	Brokers     []string       `yaml:"brokers"`
	Debug       bool           `yaml:"debug" default:"false"`
	Margin      float64        `yaml:"margin" default:"1.5"`
	Workers     uint16         `yaml:"workers" default:"4"`
	Internal    func()         `yaml:"-"`
}

func (b booking) Validate() error {
	var errs []error
	if !strings.Contains(b.Address, ":") {
		errs = append(errs, fmt.Errorf("address: expected host:port, got %q", b.Address))
	}
	if b.Workers == 0 {
		errs = append(errs, errNoWorkers)
	}
	return errors.Join(errs...)
}

var errNoWorkers = errors.New("somebody has to work")

type stripe struct {
	Key Secret `yaml:"key" help:"API key"`
}

type lane struct {
	Name string `yaml:"name"`
	Cap  int    `yaml:"cap" default:"100"`
}

func (l *lane) Validate() error {
	if l.Name == "" {
		return errors.New("name: expected a name")
	}
	return nil
}

type rate struct {
	PerSecond int `yaml:"perSecond" default:"10"`
}

func (r rate) Validate() error {
	if r.PerSecond < 1 {
		return fmt.Errorf("perSecond: expected a positive number, got %d", r.PerSecond)
	}
	return nil
}

// expectErrors checks that an error has exactly these lines.
func expectErrors(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	if got := strings.Split(err.Error(), "\n"); !reflect.DeepEqual(got, want) {
		t.Errorf("errors\n%s\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestLoad_DefaultsFileEnvironmentOverridesInThatOrder(t *testing.T) {
	document := "booking:\n  readTimeout: 1s\n  workers: 2\n  debug: true\n  brokers: [a, b]\n  maxConnsPerIP: 3\n" +
		"lanes:\n- name: normal\n- {name: vip, cap: 5}\nrates:\n  slow: {perSecond: 1}\n  usual: {}\nlabels: {a: 1}\n"
	file := filepath.Join(t.TempDir(), "role.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	var got role
	err := Load(&got, Source{
		File:      file,
		Environ:   []string{"PATH=/bin", "FAIRGATE_BOOKING_WORKERS=3", "FAIRGATE_BOOKING_BROKERS=x:1, y:2", "FAIRGATE_TEST_POSTGRES=1"},
		Allowed:   []string{"FAIRGATE_TEST_*"},
		Overrides: map[string]string{"booking.workers": "7", "booking.margin": "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := role{
		Zone: "Asia/Bangkok",
		Booking: booking{limits: limits{MaxConnsPerIP: 3}, Address: "127.0.0.1:8080", ReadTimeout: time.Second,
			Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
			Brokers: []string{"x:1", "y:2"}, Debug: true, Margin: 2, Workers: 7},
		Lanes:  []lane{{"normal", 100}, {"vip", 5}},
		Rates:  map[string]rate{"slow": {1}, "usual": {10}},
		Labels: map[string]int{"a": 1},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoad_ValueAlreadyThereStandsForItsDefault(t *testing.T) {
	got := role{Zone: "UTC"}
	if err := Load(&got, Source{}); err != nil || got.Zone != "UTC" || got.Booking.Workers != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLoad_FileErrorsNameKeyExpectationAndLine(t *testing.T) {
	document := `booking:
  adress: x
  readTimeout: soon
  proxies: [10.0.0.0/8, nowhere]
  debug: yes
  workers: 70000
  brokers: {a: 1}
  workers: 1
stripe: [1]
lanes:
- {name: a, capp: 1}
- b
zone: {a: b}
bookings: {}
rates: {slow: {perSecond: x}}
`
	err := Load(&role{}, Source{YAML: []byte(document)})
	expectErrors(t, err,
		"booking.adress: no such key; did you mean address? (configuration line 2)",
		`booking.readTimeout: expected a duration such as 5m or 250ms, got "soon" (configuration line 3)`,
		`booking.proxies[1]: expected a network such as 10.0.0.0/8, got "nowhere": netip.ParsePrefix("nowhere"): no '/' (configuration line 4)`,
		`booking.debug: expected true or false, got "yes" (configuration line 5)`,
		`booking.workers: expected a whole number from 0 of at most 16 bits, got "70000" (configuration line 6)`,
		"booking.brokers: expected a list (configuration line 7)",
		"booking.workers: expected once (configuration line 8)",
		"stripe: expected a section of keys (configuration line 9)",
		"lanes[0].capp: no such key; did you mean cap? (configuration line 11)",
		"lanes[1]: expected a section of keys (configuration line 12)",
		"zone: expected a string (configuration line 13)",
		"bookings: no such key; did you mean booking? (configuration line 14)",
		`rates.slow.perSecond: expected a whole number of at most 64 bits, got "x" (configuration line 15)`,
	)
}

func TestLoad_UnknownEnvironmentAndOverridesAreRefused(t *testing.T) {
	err := Load(&role{}, Source{
		Environ:   []string{"FAIRGATE_BOOKING_ADRESS=x", "FAIRGATE_BOOKING_DEBUG=1", "FAIRGATE_ZZZ=1", "OTHER=1"},
		Overrides: map[string]string{"booking.adress": "x", "booking.margin": "NaN"},
	})
	expectErrors(t, err,
		"FAIRGATE_BOOKING_ADRESS: no such environment variable; did you mean FAIRGATE_BOOKING_ADDRESS?",
		`booking.debug: expected true or false, got "1" (from FAIRGATE_BOOKING_DEBUG)`,
		"FAIRGATE_ZZZ: no such environment variable",
		`"booking.adress": no such key; did you mean booking.address?`,
		`booking.margin: expected a number, got "NaN" (from the command line)`,
	)
}

func TestLoad_ValidateIsAskedOfEverySectionDeepestFirst(t *testing.T) {
	document := "booking: {address: x, workers: 0}\nlanes: [{cap: 1}]\nrates: {slow: {perSecond: -1}}\n"
	err := Load(&role{}, Source{YAML: []byte(document)})
	expectErrors(t, err,
		`booking.address: expected host:port, got "x"`,
		"booking: somebody has to work",
		"lanes[0].name: expected a name",
		"rates.slow.perSecond: expected a positive number, got -1",
	)
	if !errors.Is(err, errNoWorkers) {
		t.Error("the error of Validate is not wrapped")
	}
}

func TestLoad_RefusesDocumentsThatAreNone(t *testing.T) {
	for document, want := range map[string]string{
		"a: [":                         "configuration: expected YAML",
		"- a":                          "configuration: expected a section of keys",
		"zone: a\n---\nzone: b":        "expected one YAML document",
		"a: &x {}\nbooking: *x":        "booking: expected a value of its own, not an alias",
		"<<: {zone: x}":                "<<: no such key",
		"[a]: b":                       "no such key",
		strings.Repeat("#", maxFile+1): "expected at most",
	} {
		if err := Load(&role{}, Source{YAML: []byte(document)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", document, err, want)
		}
	}
	for _, empty := range []string{"", "# nothing", "---\n", "null", "booking:\nzone:\nlanes:\n"} {
		if err := Load(&role{}, Source{YAML: []byte(empty)}); err != nil {
			t.Errorf("%q: %v", empty, err)
		}
	}
	if err := Load(&role{}, Source{File: "/nowhere/role.yaml"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoad_ProgrammingErrorsAreSaidAsSuch(t *testing.T) {
	for _, dst := range []any{nil, role{}, (*role)(nil), new(int), &struct{ C chan int }{}, &struct {
		N int `default:"x"`
	}{}} {
		if err := Load(dst, Source{}); err == nil {
			t.Errorf("%T was accepted", dst)
		}
	}
}

func TestSecret_PrintsAsSecretEverywhere(t *testing.T) {
	const value = "sk_live_1"
	holder := struct {
		Key   Secret
		Inner []Secret
	}{value, []Secret{value}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", holder)
		fmt.Fprintf(&out, verb+"\n", &holder)
		fmt.Fprintf(&out, verb+"\n", Secret(value))
	}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(asJSON)
	out.Write(asYAML)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("x", "key", Secret(value), "holder", holder)
	}
	if text := out.String(); strings.Contains(text, value) || strings.Contains(text, fmt.Sprintf("%x", value)) {
		t.Errorf("a secret got out:\n%s", text)
	}
	if Secret(value).Reveal() != value || fmt.Sprint(Secret("")) != "" {
		t.Error("Reveal, or the empty secret")
	}
}

func TestSecret_ComesFromAFileItNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sk_test_9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got role
	if err := Load(&got, Source{Environ: []string{"FAIRGATE_STRIPE_KEY=file:" + file}}); err != nil || got.Stripe.Key != "sk_test_9" {
		t.Errorf("%q, %v", got.Stripe.Key.Reveal(), err)
	}
	err := Load(&got, Source{YAML: []byte("stripe: {key: 'file:/nowhere/key'}")})
	if err == nil || !strings.HasPrefix(err.Error(), "stripe.key: expected a readable file after file:") {
		t.Errorf("a missing file: %v", err)
	}
	err = Load(&got, Source{YAML: []byte("stripe:\n  key: {sk_live_1: x}\n  kay: sk_live_1\n")})
	if err == nil || strings.Contains(err.Error(), "sk_live_1") {
		t.Errorf("an error repeats a secret: %v", err)
	}
}

func TestReference_ListsEveryKey(t *testing.T) {
	got := Reference(&role{})
	for _, want := range []string{
		"| `zone` | `FAIRGATE_ZONE` | `Asia/Bangkok` | time zone \\| of the venue |\n",
		"\n## booking\n\nThe public API.\n\n| key | environment | default | meaning |\n|---|---|---|---|\n",
		"| `booking.maxConnsPerIP` | `FAIRGATE_BOOKING_MAX_CONNS_PER_IP` | `8` | connections per address |\n",
		"| `booking.readTimeout` | `FAIRGATE_BOOKING_READ_TIMEOUT` | `5s` |  |\n",
		"| `lanes[].cap` |  | `100` |  |\n",
		"| `rates.*.perSecond` |  | `10` |  |\n",
		"| `stripe.key` | `FAIRGATE_STRIPE_KEY` |  | API key |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %q in\n%s", want, got)
		}
	}
}

func TestDump_LoadsBackToTheSameButForSecrets(t *testing.T) {
	want := role{Zone: "true", Labels: map[string]int{"1": 2}, Rates: map[string]rate{"a": {3}}, Lanes: []lane{{"x", 1}}}
	if err := Load(&want, Source{Overrides: map[string]string{"booking.brokers": "a,b", "stripe.key": "sk_live_1"}}); err != nil {
		t.Fatal(err)
	}
	dump := Dump(&want)
	if strings.Contains(dump, "sk_live_1") || !strings.Contains(dump, "key: secret") {
		t.Errorf("secrets in\n%s", dump)
	}
	var got role
	if err := Load(&got, Source{YAML: []byte(dump)}); err != nil {
		t.Fatalf("%v in\n%s", err, dump)
	}
	want.Stripe.Key = "secret"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v\nfrom\n%s", got, want, dump)
	}
}

func FuzzLoad_AnyDocumentIsReadOrRefused(f *testing.F) {
	for _, seed := range []string{
		"", "booking:\n  readTimeout: 1s\n", "lanes: [{name: a}]", "rates: {a: {perSecond: 1}}", "a: &a [*a]", "? {a: b}\n: c",
		"booking: !!binary aGk=", "zone: !<x> y", "labels: {1: 2, 1: 3}", "booking: {proxies: 10.0.0.0/8}", "\x00", "- - - -", "%YAML 1.2\n---\nzone: x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		var got role
		if err := Load(&got, Source{YAML: document}); err != nil {
			return
		}
		var again role
		dump := Dump(&got)
		if err := Load(&again, Source{YAML: []byte(dump)}); err != nil {
			t.Fatalf("%q was read, but its dump is refused: %v\n%s", document, err, dump)
		}
	})
}
