package main

import (
	"testing"
	"time"
)

// Limits of the quick look at takeovers that the suite takes; the benchmarks measure.
const (
	defaultTakeovers = 3
	slowestKill      = 3 * time.Second
	slowestHang      = 8 * time.Second
	slowestBroker    = 15 * time.Second
)

// TestKafka_SomebodyElseDecidesAtOnce kills and freezes the active processor, and kills the leading broker, under load.
func TestKafka_SomebodyElseDecidesAtOnce(t *testing.T) {
	m := newTakeovers(t)
	n := int(numberFromEnv(t, takeoversEnv, defaultTakeovers))
	kills, err := m.kills(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	hangs, err := m.hangs(t.Context(), max(n/3, 1))
	if err != nil {
		t.Fatal(err)
	}
	brokers, err := m.brokerKills(t.Context(), max(n/3, 1))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after a kill: %v\nafter a freeze: %v\nafter the kill of a broker: %v", kills, hangs, brokers)
	for took, most := range map[time.Duration]time.Duration{
		percentile(kills, 100): slowestKill, percentile(hangs, 100): slowestHang, percentile(brokers, 100): slowestBroker,
	} {
		if took > most {
			t.Errorf("nothing was decided for %v, at most %v is allowed", took, most)
		}
	}
	m.finish(t)
}
