package eventlog_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"

	"fairgate/internal/embedded/testkafka"
	"fairgate/internal/eventlog"
)

func TestConfig_NamesWhatIsWrong(t *testing.T) {
	ok := []string{"127.0.0.1:9092"}
	for want, c := range map[string]eventlog.Config{
		"brokers":        {},
		"not host:port":  {Brokers: []string{"kafka"}},
		"min in sync":    {Brokers: ok, MinInSync: 2},
		"replication":    {Brokers: ok, Replication: -1},
		"sasl mechanism": {Brokers: ok, SASLMechanism: "gssapi"},
		"together":       {Brokers: ok, SASLUser: "u"},
		"tls ca file":    {Brokers: ok, TLS: true, TLSCAFile: "/nonexistent"},
		"negative":       {Brokers: ok, QueueRecords: -1},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want mention of %q", c, err, want)
		}
		if _, err := eventlog.New(c, eventlog.Deps{}); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
	if err := (eventlog.Config{Brokers: ok, Replication: 3, MinInSync: 2}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestConfig_PasswordIsNeverPrinted(t *testing.T) {
	c := eventlog.Config{Brokers: []string{"b:1"}, SASLUser: "user", SASLPassword: "hunter2"}
	var buf bytes.Buffer
	slog.New(slog.NewTextHandler(&buf, nil)).Info("x", slog.Any("kafka", c))
	fmt.Fprintf(&buf, "%v %+v %s", c, c, c)
	if strings.Contains(buf.String(), "hunter2") || !strings.Contains(buf.String(), "user") {
		t.Fatal(buf.String())
	}
}

func TestLog_LogsInWithEachMechanism(t *testing.T) {
	for mechanism, name := range map[string]string{
		"plain": "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512", "": "SCRAM-SHA-512",
	} {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser(name, "user", "secret"))
		if err != nil {
			t.Fatal(err)
		}
		cfg := eventlog.Config{Brokers: cluster.ListenAddrs(), SASLMechanism: mechanism, SASLUser: "user", SASLPassword: "secret"}
		l := testkafka.Open(t, cfg)
		topic := testkafka.Topic(t, l, "sasl", 1)
		must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 1)))
		if id := must[[16]byte](t)(l.TopicID(within(t), topic)); id == ([16]byte{}) {
			t.Errorf("%s: no topic id", mechanism)
		}
		cfg.SASLPassword = "wrong"
		if _, err := testkafka.Open(t, cfg).AppendBatch(within(t), topic, 0, numbered("v", 1)); err == nil {
			t.Errorf("%s: a wrong password was accepted", mechanism)
		}
		cluster.Close()
	}
}

func TestLog_TwoInOneProcessShareMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	k := testkafka.Start(t)
	for i := range 2 {
		l, err := eventlog.New(eventlog.Config{Brokers: []string{k.Addr()}}, eventlog.Deps{Metrics: reg})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			topic := testkafka.Topic(t, l, "metrics", 1)
			must[int64](t)(l.AppendBatch(within(t), topic, 0, numbered("v", 3)))
		}
		l.Close()
	}
	families := must[[]any](t)(func() ([]any, error) {
		f, err := reg.Gather()
		out := make([]any, len(f))
		for i := range f {
			out[i] = f[i].GetName()
		}
		return out, err
	}())
	if !strings.Contains(fmt.Sprint(families...), "fairgate_eventlog_records_total") {
		t.Fatal(families)
	}
}
