package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairgate/booking"
)

// runMain runs the program as a shell would.
func runMain(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = realMain(args, &out, &errs)
	return code, out.String(), errs.String()
}

// fanWithReceipt takes a fan from the door to a hold and returns what /receipt answers once the chain has closed.
func fanWithReceipt(t *testing.T, c contract) (id, place string, document []byte) {
	t.Helper()
	room := fmt.Sprintf("/rooms/%d", rehearsalRoom)
	visitor, token := joinRoom(t, c, room)
	pass := enterRoom(t, c, room, []string{"Queue-Visitor", visitor, "Queue-Token", token})
	held := c.call(201, "POST", "/booking", fmt.Sprintf(`{"userId":"alice","eventId":%d}`, rehearsalEvent), "Admission-Pass", pass)
	id = held["id"].(string)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		d := c.call(200, "GET", "/booking/"+id+"/receipt", "")
		if fmt.Sprint(d["receipt"]) != fmt.Sprint(held["receipt"]) {
			t.Fatalf("another receipt: %v, was %v", d["receipt"], held["receipt"])
		}
		if d["closed"] == true {
			b, err := json.MarshalIndent(d, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			return id, token, b
		}
		if time.Now().After(deadline) {
			t.Fatal("no chain head")
		}
	}
}

func TestReceipt_FromHoldToVerify(t *testing.T) {
	s := serveStage(t, 10)
	id, place, document := fanWithReceipt(t, newContract(t, s.shopURL()))
	config := []string{"--config", filepath.Join(s.options.dir, demoConfig)}
	file := filepath.Join(t.TempDir(), "receipt.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	var d struct {
		Receipt struct{ Text string }
		Chain   map[string]any
	}
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	verify := func(want int, says string, args ...string) string {
		code, out, errs := runMain(append([]string{"verify"}, args...)...)
		if code != want || !strings.Contains(out+errs, says) {
			t.Errorf("verify %v: exit code %d, want %d and %q:\n%s%s", args, code, want, says, out, errs)
		}
		return out
	}
	away := make(chan struct{})
	go func() {
		defer close(away)
		verify(2, "log not reachable", append(slices.Clone(config), "--receipt", file, "--set", "kafka.brokers=127.0.0.1:1")...)
	}()
	told := verify(0, "the receipt holds", append(config, "--receipt", file)...)
	for _, part := range []string{"the head on the receipt is the log's", "alice asks for", "held for alice until", id} {
		if !strings.Contains(told, part) {
			t.Errorf("it does not say %q:\n%s", part, told)
		}
	}
	verify(0, "the receipt holds", append(config, "--receipt", d.Receipt.Text, "--whole", "--keys", s.shopURL()+booking.ReceiptKeysPath)...)

	dump := filepath.Join(t.TempDir(), "dump")
	verify(0, "verify it anywhere", append(config, "--dump", dump)...)
	verify(2, "is there already", append(config, "--dump", dump)...)
	verify(0, "no violation", "--from", dump)
	verify(0, "the receipt holds", "--from", dump, "--receipt", file)
	forged(t, verify, dump, document, d.Receipt.Text)

	verify(2, "no such file", "--from", dump, "--receipt", "./nowhere.json")
	verify(2, "not a dump", "--from", t.TempDir(), "--receipt", file)
	stories(t, config, dump, id, place)
	<-away
}

// forged flips every byte of the text and every member of the JSON.
func forged(t *testing.T, verify func(int, string, ...string) string, dump string, document []byte, text string) {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		b := bytes.Clone(raw)
		b[i] ^= 1
		verify(1, "signature bad", "--from", dump, "--receipt", base64.RawURLEncoding.EncodeToString(b))
	}
	for _, member := range []string{"offset", "partition", "eventId", "outcomeNumber"} {
		var d map[string]map[string]any
		var all map[string]any
		_ = json.Unmarshal(document, &all)
		d = map[string]map[string]any{"receipt": all["receipt"].(map[string]any)}
		d["receipt"][member] = d["receipt"][member].(float64) + 1
		delete(d["receipt"], "text")
		b, _ := json.Marshal(d)
		verify(1, "signature bad", "--from", dump, "--receipt", string(b))
	}
	// The chain head is not signed: the log itself refutes another one.
	i := bytes.Index(document, []byte(`"head": "`)) + len(`"head": "`)
	b := bytes.Clone(document)
	b[i] = map[bool]byte{true: '1', false: '0'}[b[i] == '0']
	verify(1, "chain differs", "--from", dump, "--receipt", string(b))
}

// stories tells the fan's story from the brokers and from the dump.
func stories(t *testing.T, config []string, dump, id, place string) {
	t.Helper()
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"booking": {[]string{"--booking", id}, []string{"alice asks for one ticket", "held for alice until", " EUR"}},
		"event":   {[]string{"--event", fmt.Sprint(rehearsalEvent)}, []string{"is defined", "sells type 1 at", "alice asks for"}},
		"place":   {[]string{"--place", place}, []string{"joins room", "is recorded in the lane", "asks to be let into room", "is admitted"}},
		"room":    {[]string{"--room", fmt.Sprint(rehearsalRoom)}, []string{"is defined: at most", "is recorded in the lane"}},
	} {
		code, live, errs := runMain(append(append([]string{"replay"}, config...), c.args...)...)
		_, dumped, _ := runMain(append([]string{"replay", "--from", dump}, c.args...)...)
		for _, want := range c.want {
			if code != 0 || !strings.Contains(live, want) {
				t.Errorf("%s: exit code %d, want %q in\n%s%s", name, code, want, live, errs)
			}
		}
		if !strings.HasPrefix(live, dumped) || dumped == "" {
			t.Errorf("%s: the dump tells\n%s\nthe log\n%s", name, dumped, live)
		}
	}
}
