package waitingroom

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/wire"
)

func someDocument(room int64, epoch uint64, offset int64) []byte {
	b, _ := json.Marshal(wire.QueueDocument{Version: wire.Version, Room: room, State: "open", Epoch: epoch, Offset: offset,
		Lanes: []wire.LaneDocument{{Lane: "normal", Table: []wire.RankRow{{Key: "01", Before: 0}}}}})
	return b
}

func TestDocuments_AnOlderOneNeverReplacesANewerOne(t *testing.T) {
	docs := newDocuments(1)
	for _, c := range []struct {
		epoch  uint64
		offset int64
		want   string
	}{
		{1, 10, "1-10"}, {1, 12, "1-12"}, {1, 11, "1-12"}, {2, 11, "1-12"}, {2, 12, "2-12"}, {1, 12, "2-12"}, {2, 13, "2-13"},
	} {
		if err := docs.take(someDocument(7, c.epoch, c.offset)); err != nil {
			t.Fatal(err)
		}
		d := docs.newest(7).doc
		if got := fmt.Sprintf("%d-%d", d.Epoch, d.Offset); got != c.want {
			t.Errorf("after epoch %d, offset %d: %s, want %s", c.epoch, c.offset, got, c.want)
		}
	}
}

func TestQueue_OneDocumentForEverybody(t *testing.T) {
	s := open(t)
	f := s.fan()
	f.client.Jar = nil
	plain := f.get("/rooms/2/queue")
	var d wire.QueueDocument
	plain.into(t, &d)
	if plain.status != 200 || d.Room != foyer || d.State != "paused" || d.Left != 1204 {
		t.Fatalf("%d %s", plain.status, plain.body)
	}
	if got := plain.header.Get("Cache-Control"); got != "public, max-age=1, stale-while-revalidate=5" {
		t.Errorf("Cache-Control: %s", got)
	}
	if len(plain.header.Values("Set-Cookie")) != 0 {
		t.Error("a shared document sets a cookie")
	}
	for _, c := range []struct {
		accept, encoding string
		unpack           func(io.Reader) (io.Reader, error)
	}{
		{"gzip, deflate, br", "br", func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }},
		{"br;q=0, gzip;q=0.5", "gzip", func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", "", func(r io.Reader) (io.Reader, error) { return r, nil }},
	} {
		f.header.Set("Accept-Encoding", c.accept)
		f.header.Del("If-None-Match")
		r := f.get("/rooms/2/queue")
		if got := r.header.Get("Content-Encoding"); got != c.encoding {
			t.Errorf("%s: encoding %q", c.accept, got)
			continue
		}
		body, err := c.unpack(bytes.NewReader(r.body))
		if err == nil {
			var b []byte
			b, err = io.ReadAll(body)
			if err == nil {
				err = json.Unmarshal(b, &d)
			}
		}
		if err != nil || d.Room != foyer {
			t.Errorf("%s: %v", c.accept, err)
		}
		s.until("not modified", func() bool { // the next document may come in between
			f.header.Set("If-None-Match", `"other", W/`+r.header.Get("ETag"))
			again := f.get("/rooms/2/queue")
			done := again.status == 304 && len(again.body) == 0 && again.header.Get("ETag") == r.header.Get("ETag")
			r = again
			return done
		})
	}
}

func TestQueue_ARoomWithoutADocumentAsksForPatience(t *testing.T) {
	s := open(t)
	r := s.fan().get("/rooms/4/queue")
	if r.status != 503 || r.kind(t) != "not-ready" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestHeard_OutagesDoNotCountAgainstAFan(t *testing.T) {
	h := newHeard()
	var out wire.Outcomes
	tell := func(at int64, body wire.Body) {
		out.Reset()
		out.Begin(0, at, wire.Record{})
		out.Add(body)
		out.End()
		o, err := wire.ParseOutcome(out.At(0))
		if err != nil {
			t.Fatal(err)
		}
		h.listen(3, o)
	}
	const t0 = 1_000 * sale.Second
	tell(t0, &wire.Ticked{Now: t0})
	check := func(what string, instant, now, want int64) {
		t.Helper()
		if got := h.outageSince(3, instant, now); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	check("no outage", t0-sale.Second, t0+sale.Second, 0)
	check("running", t0-sale.Second, t0+60*sale.Second, 60*sale.Second)
	check("running, arrived within it", t0+50*sale.Second, t0+60*sale.Second, 10*sale.Second)
	tell(t0+60*sale.Second, &wire.Extended{Scope: 1, Cause: wire.CauseOutage, By: 60 * sale.Second})
	tell(t0+60*sale.Second, &wire.Ticked{Now: t0 + 60*sale.Second})
	check("recorded", t0-sale.Second, t0+61*sale.Second, 60*sale.Second)
	check("recorded, arrived within it", t0+50*sale.Second, t0+61*sale.Second, 10*sale.Second)
	check("arrived after it", t0+61*sale.Second, t0+61*sale.Second, 0)
	if got := h.outageSince(4, t0, t0+3_600*sale.Second); got != 0 {
		t.Errorf("an unknown partition: %d", got)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add(someDocument(7, 1, 2))
	f.Add([]byte(`{"version":1,"room":7,"lanes":[{"lane":"normal","table":[["01",-1]]}]}`))
	f.Add([]byte(`null`))
	pool := newPackers()
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := newDocument(b, pool)
		if err != nil {
			return
		}
		if d.doc.Room <= 0 || !bytes.Equal(d.plain, b) {
			t.Errorf("took %q", b)
		}
		for i := range d.doc.Lanes {
			if low, high := d.doc.Lanes[i].Position("01"); low > high {
				t.Errorf("between %d and %d", low, high)
			}
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	for _, seed := range []string{"gzip, deflate, br", "br;q=0", "BR ; Q=0.001", ",,;", "*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		if e := best(accept); e < 0 || e >= encodings {
			t.Errorf("encoding %d", e)
		}
	})
}

func BenchmarkQueue_Document(b *testing.B) {
	s := open(b)
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI("/rooms/2/queue")
	ctx.Request.Header.Set("Accept-Encoding", "gzip, deflate, br")
	b.ReportAllocs()
	for b.Loop() {
		ctx.Response.Reset()
		s.router.Handler(&ctx)
	}
	if ctx.Response.StatusCode() != 200 {
		b.Fatal(ctx.Response.String())
	}
}
