package main

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairgate/botguard"
	"fairgate/internal/conf"
	"fairgate/internal/embedded/testpg"
	"fairgate/internal/store"
)

// What the guard ruled in the process's last seconds is kept too: whoever was refused then quotes a code as well.
func TestRulings_AreKeptUntilTheEnd(t *testing.T) {
	db, err := store.New(t.Context(), store.Config{Write: conf.Secret(testpg.Migrated(t, "schema", store.Migrate))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	guard, err := botguard.New(botguard.Config{Secret: "a secret of at least thirty-two characters"}, botguard.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	a := &assembly{db: db, log: slog.New(slog.DiscardHandler), registry: prometheus.NewRegistry()}
	keeper := newRulingKeeper(a, guard)
	guard.Judge(t.Context(), botguard.Request{
		Action: botguard.ActionArrive, Address: netip.MustParseAddr("192.0.2.7"), UserAgent: "curl/8.0", Room: 7,
	})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := keeper.run(ctx); err != nil {
		t.Fatal(err)
	}
	list, err := db.Rulings(t.Context(), 7, time.Now().Add(-time.Hour), 10)
	if err != nil || len(list) != 1 || list[0].Outcome != "price" || list[0].Factor != 2 || list[0].Times != 1 {
		t.Fatalf("%v %+v", err, list)
	}
}
