package waitingroom

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fairgate/internal/wire"
)

func TestLineMetrics_ShowDocumentAndWhatWasHeard(t *testing.T) {
	e := &Edge{docs: newDocuments(1), heard: newHeard()}
	for _, d := range []wire.QueueDocument{
		{Room: 7, State: "open", Joined: 90, Waiting: 40, Inside: 12, Left: -1, At: 1_500_000, ShowUp: 750},
		{Room: 8, State: "paused", Waiting: 3, Left: 5},
		{Room: 9, State: "ended", Joined: 12},
	} {
		d.Version = wire.Version
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.docs.take(b); err != nil {
			t.Fatal(err)
		}
	}
	var out wire.Outcomes
	for offset, body := range []wire.Body{&wire.InvitedUpTo{Count: 30}, &wire.InvitedUpTo{Count: 5}, &wire.Claimed{}, &wire.LeftQueue{},
		&wire.Missed{}} {
		out.Reset()
		out.Begin(int64(offset), 1, wire.Record{Object: 7})
		out.Add(body)
		out.End()
		for i := range out.Len() {
			o, err := wire.ParseOutcome(out.At(i))
			if err != nil {
				t.Fatal(err)
			}
			e.heard.listen(0, o)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(newLineMetrics(e))
	recorder := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	page := recorder.Body.String()
	for _, want := range []string{
		`fairgate_queue_open{room="7"} 1`, `fairgate_queue_open{room="8"} 0`,
		`fairgate_queue_joined{room="7"} 90`, `fairgate_queue_waiting{room="7"} 40`, `fairgate_queue_inside{room="7"} 12`,
		`fairgate_queue_tickets_left{room="7"} -1`, `fairgate_queue_tickets_left{room="8"} 5`,
		`fairgate_queue_document_time_seconds{room="7"} 1.5`,
		`fairgate_queue_invited_total{room="7"} 35`, `fairgate_queue_admitted_total{room="7"} 1`,
		`fairgate_queue_left_total{room="7"} 1`, `fairgate_queue_missed_total{room="7"} 1`, `fairgate_queue_show_up_ratio{room="7"} 0.75`,
		`fairgate_queue_estimates_total{result="within",room="7"} 0`, `fairgate_queue_estimate_error_seconds_total{room="7"} 0`,
		`fairgate_queue_invited_total{room="8"} 0`, `fairgate_queue_admitted_total{room="8"} 0`,
	} {
		if !strings.Contains(page, want+"\n") {
			t.Errorf("missing %s in\n%s", want, page)
		}
	}
	if strings.Contains(page, `room="9"`) {
		t.Error("an ended, empty room is shown")
	}
}
