package waitingroom

import (
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// BenchmarkEdge_Document serves the queue document over TCP, and the very same bytes from a bare fasthttp server: the
// ratio is the share of its rate that is left when everything around the document is ours. Both run in turns, so that
// what else the machine does hits both alike.
func BenchmarkEdge_Document(b *testing.B) {
	s := open(b)
	ours := s.listen() + "/rooms/2/queue"
	var answer fasthttp.Response
	fetch(b, ours, &answer)
	bare := bareServer(b, &answer)

	// The order changes, so that what comes first in a turn is at no advantage; the ratio is the median of the turns', since a
	// busy machine stalls one side of some. Beside the time each takes the processor time of the whole process is counted, load
	// generator and log included: what a busy machine does not disturb much.
	const turns = 64
	var all, busy [2]time.Duration
	var ratios []float64
	for b.Loop() {
		for turn := range turns {
			var took [2]time.Duration
			for side := range 2 {
				side ^= turn & 1
				used := cpu(b)
				took[side] = fetchMany(b, [2]string{ours, bare}[side])
				all[side] += took[side]
				busy[side] += cpu(b) - used
			}
			ratios = append(ratios, took[1].Seconds()/took[0].Seconds())
		}
	}
	slices.Sort(ratios)
	b.ReportMetric(float64(b.N*turns*perTurn)/all[0].Seconds(), "bench:edge.document:requests/s")
	b.ReportMetric(ratios[len(ratios)/2], "ratio:edge.document")
	b.ReportMetric(busy[1].Seconds()/busy[0].Seconds(), "ratio:edge.document.cpu")
}

// cpu is how much processor time this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const (
	perTurn = 1_000 // requests
	clients = 8     // each with a connection of its own
)

func fetch(b *testing.B, url string, into *fasthttp.Response) {
	b.Helper()
	var r fasthttp.Request
	r.SetRequestURI(url)
	r.Header.Set("Accept-Encoding", "gzip, deflate, br")
	if err := fasthttp.Do(&r, into); err != nil || into.StatusCode() != fasthttp.StatusOK {
		b.Fatal(err, into)
	}
}

// fetchMany sends requests from all clients at once and says how long all took.
func fetchMany(b *testing.B, url string) time.Duration {
	b.Helper()
	done := make(chan error, clients)
	began := time.Now()
	for range clients {
		go func() {
			client := fasthttp.Client{MaxConnsPerHost: 1}
			defer client.CloseIdleConnections()
			var r fasthttp.Request
			var answer fasthttp.Response
			r.SetRequestURI(url)
			r.Header.Set("Accept-Encoding", "gzip, deflate, br")
			var err error
			for range perTurn / clients {
				if err = client.Do(&r, &answer); err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range clients {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(began)
}

// bareServer answers every request with the same bytes and headers.
func bareServer(b *testing.B, answer *fasthttp.Response) (url string) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var same fasthttp.Response
	answer.CopyTo(&same)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { same.CopyTo(&ctx.Response) }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	b.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			b.Error(err)
		}
		<-ended
	})
	return "http://" + ln.Addr().String()
}
