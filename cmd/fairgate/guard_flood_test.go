package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/botguard/puzzle"
	"fairgate/internal/crowd/bots"
)

const (
	floodCallers = 64
	floodFor     = 6 * time.Second
	honestEvery  = 20 * time.Millisecond
)

// flooder sends joins to a server over real connections.
type flooder struct {
	http *fasthttp.HostClient
	url  string
}

func newFlooder(address string) flooder {
	return flooder{&fasthttp.HostClient{Addr: address, MaxConns: 2 * floodCallers, MaxIdemponentCallAttempts: 1},
		fmt.Sprintf("http://%s/rooms/%d/", address, rehearsalRoom)}
}

func (f flooder) post(step, from, visitor string, body []byte, into any) (status int, err error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(f.url + step)
	req.Header.SetMethod(fasthttp.MethodPost)
	req.Header.SetContentType("application/json")
	req.Header.SetUserAgent("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0")
	req.Header.Set("Accept-Language", "en")
	req.Header.Set("X-Forwarded-For", from)
	if visitor != "" {
		req.Header.Set("Queue-Visitor", visitor)
	}
	req.SetBody(body)
	if err := f.http.DoTimeout(req, resp, 20*time.Second); err != nil {
		return 0, err
	}
	if into != nil {
		err = json.Unmarshal(resp.Body(), into)
	}
	return resp.StatusCode(), err
}

// floodPlace is a challenge with a solution, and whose it is.
type floodPlace struct {
	from, visitor string
	body          []byte
}

// place arrives from an address of its own; honest places are solved, the others carry junk.
func (f flooder) place(n uint32, honest bool) (p floodPlace, err error) {
	var a struct {
		Challenge, Visitor string
		Puzzle             struct {
			Algorithm, Seed string
			SubPuzzles      int
			K, Difficulty   uint32
		}
	}
	// No two of a /24, and of all /8s that are not ours.
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n<<8|7)
	b[0] += 130
	p.from = netip.AddrFrom4(b).String()
	if status, err := f.post("arrive", p.from, "", []byte("{}"), &a); err != nil || status != fasthttp.StatusOK {
		return p, fmt.Errorf("arrive: status %d: %w", status, err)
	}
	solution := make([]byte, 8*a.Puzzle.SubPuzzles)
	var seed [32]byte
	if _, err := hex.Decode(seed[:], []byte(a.Puzzle.Seed)); err != nil {
		return p, err
	}
	first := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: a.Puzzle.K, Difficulty: a.Puzzle.Difficulty}
	for err := error(nil); err == nil; err = puzzle.NewHashWX().Verify(seed, first, solution[:first.Size()]) {
		if _, err := rand.Read(solution); err != nil { // at so low a price some would be right by chance
			return p, err
		}
	}
	if honest {
		solution = solution[:0]
		for sub := range a.Puzzle.SubPuzzles {
			nonce, err := solve(a.Puzzle.Algorithm, seed, sub, a.Puzzle.K, a.Puzzle.Difficulty)
			if err != nil {
				return p, err
			}
			solution = append(solution, nonce...)
		}
	}
	p.visitor = a.Visitor
	p.body, err = json.Marshal(map[string]string{"challenge": a.Challenge, "solution": base64.RawURLEncoding.EncodeToString(solution)})
	return p, err
}

// bareRate is how many of the same requests a server answers that does nothing with them.
func bareRate(b *testing.B, p floodPlace) float64 {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	okay(b, err)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusUnprocessableEntity) }}
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	f := newFlooder(ln.Addr().String())
	var sent atomic.Int64
	began, wg := time.Now(), sync.WaitGroup{}
	for range floodCallers {
		wg.Go(func() {
			for time.Since(began) < 2*time.Second {
				if _, err := f.post("join", p.from, p.visitor, p.body, nil); err == nil {
					sent.Add(1)
				}
			}
		})
	}
	wg.Wait()
	rate := float64(sent.Load()) / time.Since(began).Seconds()
	okay(b, server.Shutdown())
	okay(b, <-done)
	return rate
}

// BenchmarkGuard_Flood offers bogus solutions, each with a challenge that is ours, at half the rate that a bare server would
// answer, and says how long 99 of 100 honest joins take meanwhile. Caller and server share this machine.
func BenchmarkGuard_Flood(b *testing.B) {
	c := bots.Config{Scale: 0.01, Compress: 1, Base: botsBase}
	r, err := openBotsRig(b.Context(), &c, slog.New(slog.DiscardHandler))
	okay(b, err)
	defer r.remove()
	okay(b, r.stack.during(b.Context(), func(ctx context.Context) error {
		if err := r.stack.whenReady(ctx); err != nil {
			return err
		}
		sale := botsSale{stack: r.stack, room: rehearsalRoom, late: time.Minute}
		if err := sale.define(ctx, &c, -1); err != nil {
			return err
		}
		return flood(b, newFlooder(r.stack.options.shop))
	}))
}

func flood(b *testing.B, f flooder) error {
	var junk, honest []floodPlace
	for n := range uint32(int(floodFor/honestEvery) + 2000) {
		isHonest := len(honest) < int(floodFor/honestEvery)
		p, err := f.place(n, isHonest)
		if err != nil {
			return err
		}
		if isHonest {
			honest = append(honest, p)
		} else {
			junk = append(junk, p)
		}
	}
	bare := bareRate(b, junk[0])
	calm, err := f.honest(honest[:len(honest)/3], time.Now())
	if err != nil {
		return err
	}
	honest = honest[len(honest)/3:]
	var sent, refused, worked, next atomic.Int64
	began, stop, wg := time.Now(), make(chan struct{}), sync.WaitGroup{}
	for range floodCallers {
		wg.Go(func() {
			for {
				n := next.Add(1)
				due := began.Add(time.Duration(float64(n) / (bare / 2) * float64(time.Second)))
				if wait := time.Until(due); wait > time.Millisecond {
					time.Sleep(wait)
				}
				select {
				case <-stop:
					return
				default:
				}
				p := &junk[int(n)%len(junk)]
				if status, err := f.post("join", p.from, p.visitor, p.body, nil); err == nil {
					sent.Add(1)
					if status != fasthttp.StatusOK {
						refused.Add(1)
					}
					if status == fasthttp.StatusUnprocessableEntity {
						worked.Add(1)
					}
				}
			}
		})
	}
	times, err := f.honest(honest, began)
	if err != nil {
		return err
	}
	rate := float64(sent.Load()) / time.Since(began).Seconds()
	close(stop)
	wg.Wait()
	if refused.Load() != sent.Load() {
		return fmt.Errorf("%d bogus solutions were taken", sent.Load()-refused.Load())
	}
	p99 := times[len(times)*99/100]
	fmt.Fprintf(os.Stderr, "bare %.0f/s, bogus %.0f/s of which %.1f %% cost a sub-puzzle; honest p50 %v, p99 %v, and without the flood %v, %v\n", bare, rate,
		100*float64(worked.Load())/float64(sent.Load()), times[len(times)/2], p99, calm[len(calm)/2], calm[len(calm)*99/100])
	b.ReportMetric(float64(p99.Microseconds())/1000, "bench:guard.flood:ms")
	b.ReportMetric(rate/bare, "ratio:guard.flood")
	return nil
}

// honest joins with each place, one after the other, and returns how long they took, sorted.
func (f flooder) honest(places []floodPlace, began time.Time) ([]time.Duration, error) {
	times, errs := make([]time.Duration, len(places)), make([]error, len(places))
	var joins sync.WaitGroup
	for i, p := range places {
		time.Sleep(time.Until(began.Add(time.Duration(i) * honestEvery)))
		joins.Go(func() {
			at := time.Now()
			status, err := f.post("join", p.from, p.visitor, p.body, nil)
			if times[i] = time.Since(at); err != nil || status != fasthttp.StatusOK {
				errs[i] = fmt.Errorf("an honest join: status %d: %w", status, err)
			}
		})
	}
	joins.Wait()
	slices.Sort(times)
	return times, errors.Join(errs...)
}
