package waiting

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"

	"fairgate/internal/wire"
)

const (
	// userAgent names us to an operator.
	userAgent = "Mozilla/5.0 (compatible; FairgateCrowd/1.0)"
	timeout   = 10 * time.Second
	maxBody   = 1 << 20
)

// The page's rhythm: as often as the document says while somebody looks at it; otherwise half the time that is left until
// the turn can come at the earliest, within bounds.
const (
	leastIdle   = 15 * time.Second
	mostIdle    = 300 * time.Second
	unknownIdle = 60 * time.Second // the least time to the turn where the document cannot tell
	leastLook   = time.Second
)

// accepts is how browsers spell what they can unpack; most of them as the first.
var accepts = [...]string{"gzip, deflate, br", "gzip, deflate, br, zstd", "gzip, deflate"}

// pause is how long somebody at a position waits before the next look, by the page's rule.
func pause(rnd *rand.Rand, d *wire.QueueDocument, lane *wire.LaneDocument, position uint32, watches bool) time.Duration {
	p := max(time.Duration(d.NextPoll)*time.Second, leastLook)
	if !watches {
		soonest := unknownIdle
		if lane.RateHigh > 0 {
			soonest = time.Duration(float64(position) * 60_000 / float64(lane.RateHigh) * float64(time.Second))
		}
		p = max(p, min(max(soonest/2, leastIdle), mostIdle))
	}
	return time.Duration(float64(p) * (0.75 + rnd.Float64()/2))
}

// version is one document as everybody sees it.
type version struct {
	wire.QueueDocument
	etag    string
	lane    *wire.LaneDocument
	invited int // how many of our places are invited by it
}

func (v *version) older(than *version) bool {
	return v.Epoch < than.Epoch || v.Epoch == than.Epoch && v.Offset < than.Offset
}

// documents knows every version seen, by its ETag, and the truth to hold it against. It is safe for concurrent use.
type documents struct {
	mu     *sync.RWMutex
	byTag  map[string]int32
	list   []*version
	places []Place
	first  string // the first wrong position
}

func newDocuments(places []Place) documents {
	return documents{mu: new(sync.RWMutex), byTag: make(map[string]int32), places: places}
}

func (s *documents) count() int { s.mu.RLock(); defer s.mu.RUnlock(); return len(s.list) }

func (s *documents) wrong() string { s.mu.RLock(); defer s.mu.RUnlock(); return s.first }

func (s *documents) at(i int32) *version { s.mu.RLock(); defer s.mu.RUnlock(); return s.list[i] }

func (s *documents) find(etag []byte) (int32, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, ok := s.byTag[string(etag)]
	return i, ok
}

// take reads a version that nobody has seen.
func (s *documents) take(etag string, body []byte) (int32, error) {
	v := &version{etag: etag}
	if err := json.Unmarshal(body, &v.QueueDocument); err != nil {
		return 0, fmt.Errorf("reading a document: %w", err)
	}
	for i := range v.Lanes {
		if v.Lanes[i].Lane == wire.LaneNormal.String() {
			v.lane = &v.Lanes[i]
		}
	}
	if v.lane == nil || etag == "" || v.QueueDocument.Version != wire.Version {
		return 0, fmt.Errorf("a document without an ETag or a line: %.100s", body)
	}
	v.invited = sort.Search(len(s.places), func(i int) bool { return s.places[i].Key.String() > v.lane.InvitedTo })
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := s.byTag[etag]; ok {
		return i, nil
	}
	if len(s.list) >= maxDocuments {
		return 0, fmt.Errorf("more than %d documents", maxDocuments)
	}
	i := int32(len(s.list))
	s.list, s.byTag[etag] = append(s.list, v), i
	return i, nil
}

// check holds what a version says of a place against the truth. It returns what it says.
func (s *documents) check(v *version, fan int32) (high uint32, right bool) {
	low, high := v.lane.Position(s.places[fan].Key.String())
	if int(v.Joined) <= int(fan) {
		return high, true
	}
	truth := uint32(max(int(fan)-v.invited+1, 0))
	if low <= truth && truth <= high {
		return high, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.first == "" {
		s.first = fmt.Sprintf("place %d is number %d, the document of offset %d says %d to %d", fan, truth, v.Offset, low, high)
	}
	return high, false
}

// worker is one connection.
type worker struct {
	crowd  *crowd
	client *fasthttp.HostClient
	rnd    *rand.Rand
	req    fasthttp.Request
	resp   fasthttp.Response
	mu     sync.Mutex
	tally  *tally
}

func newWorker(w *crowd, n uint64) *worker {
	k := &worker{crowd: w, rnd: rand.New(rand.NewPCG(w.config.Seed, n+2)), tally: newTally()}
	host := w.config.URL
	if u, err := url.Parse(w.config.URL); err == nil {
		host = u.Host
	}
	k.client = &fasthttp.HostClient{Addr: host, Name: userAgent, MaxConns: 1, MaxResponseBodySize: maxBody, ReadTimeout: timeout, WriteTimeout: timeout}
	k.req.SetRequestURI(w.config.URL + "/rooms/" + strconv.FormatInt(w.config.Room, 10) + "/queue")
	return k
}

// swap takes the tally so far.
func (k *worker) swap() *tally {
	fresh := newTally()
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.tally
	k.tally = fresh
	return was
}

func (k *worker) run(ctx context.Context) {
	defer k.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case l := <-k.crowd.jobs:
			next := k.look(l)
			select {
			case k.crowd.done <- looked{l.fan, next}:
			case <-ctx.Done():
				return
			}
		}
	}
}

// look is one look at the document. It returns when the next is due, negative for never.
func (k *worker) look(l look) (next time.Duration) {
	w := k.crowd
	f := &w.fans[l.fan]
	asked := time.Since(w.began)
	i, status, cached, err := k.get(l.fan, f)
	now := time.Since(w.began)
	k.mu.Lock()
	defer k.mu.Unlock()
	t := k.tally
	t.looks++
	_ = t.late.RecordValue(micros(asked - l.due))
	if err != nil {
		t.failed++
		t.trouble = err
		return now + timeout/2
	}
	_ = t.answer.RecordValue(micros(now - asked))
	if status == http.StatusNotModified {
		t.notModified++
	}
	if cached {
		t.cached++
	}
	v := w.docs.at(i)
	if f.seen >= 0 && v.older(w.docs.at(f.seen)) {
		t.older++
		v = w.docs.at(f.seen) // as the page does
	} else {
		f.seen = i
	}
	_ = t.age.RecordValue(min(max(time.Now().UnixMicro()-v.At, 0), longest))
	position, right := w.docs.check(v, l.fan)
	switch {
	case int(v.Joined) <= int(l.fan):
		t.unknown++ // made before this place was in the log: it can say nothing of it
	case right:
		t.checked++
	default:
		t.checked++
		t.wrong++
	}
	if position == 0 {
		t.invited++
		return -1
	}
	p := pause(k.rnd, &v.QueueDocument, v.lane, position, f.watches)
	if !f.known {
		f.known = true
		// As if everybody had waited for long: those who seldom look are anywhere between two looks.
		p = time.Duration(k.rnd.Float64() * float64(p))
	}
	return now + p
}

// get asks for the document and returns its version.
func (k *worker) get(fan int32, f *fan) (i int32, status int, cached bool, err error) {
	kind := 0
	if r := fan % 16; r < 2 {
		kind = 1 + int(r)
	}
	k.req.Header.Set(fasthttp.HeaderAccept, "application/json")
	k.req.Header.Set(fasthttp.HeaderAcceptEncoding, accepts[kind])
	k.req.Header.Del(fasthttp.HeaderIfNoneMatch)
	if f.seen >= 0 {
		k.req.Header.Set(fasthttp.HeaderIfNoneMatch, k.crowd.docs.at(f.seen).etag)
	}
	if err := k.client.DoTimeout(&k.req, &k.resp, timeout); err != nil {
		return 0, 0, false, err
	}
	status = k.resp.StatusCode()
	switch string(k.resp.Header.Peek("X-Cache")) {
	case "HIT", "STALE", "UPDATING", "REVALIDATED":
		cached = true
	}
	if status == http.StatusNotModified && f.seen >= 0 {
		return f.seen, status, cached, nil
	}
	if status != http.StatusOK {
		return 0, status, cached, fmt.Errorf("answered with status %d", status)
	}
	etag := k.resp.Header.Peek(fasthttp.HeaderETag)
	if i, ok := k.crowd.docs.find(etag); ok {
		return i, status, cached, nil
	}
	body, err := k.resp.BodyUncompressed()
	if err != nil {
		return 0, status, cached, err
	}
	i, err = k.crowd.docs.take(string(etag), body)
	return i, status, cached, err
}

func micros(d time.Duration) int64 { return min(max(d.Microseconds(), 0), longest) }

// tally counts what one worker saw.
type tally struct {
	looks, notModified, cached, failed, checked, unknown, wrong, older, invited int64
	late, answer, age                                                           *hdrhistogram.Histogram
	trouble                                                                     error
}

func newTally() *tally {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, longest, 2) }
	return &tally{late: h(), answer: h(), age: h()}
}

// first takes of what came before the measuring only what may never be.
func (t *tally) first(o *tally) {
	t.checked += o.checked
	t.unknown += o.unknown
	t.wrong += o.wrong
	t.older += o.older
	t.invited += o.invited
	t.failed += o.failed
}

func (t *tally) add(o *tally) {
	t.first(o)
	t.looks += o.looks
	t.notModified += o.notModified
	t.cached += o.cached
	t.late.Merge(o.late)
	t.answer.Merge(o.answer)
	t.age.Merge(o.age)
}

func (t *tally) report() Report {
	return Report{
		Looks: t.looks, NotModified: t.notModified, Cached: t.cached, Failed: t.failed, Checked: t.checked, Unknown: t.unknown, Wrong: t.wrong,
		Older: t.older, Invited: t.invited, Late: timesOf(t.late), Answer: timesOf(t.answer), Age: timesOf(t.age),
	}
}
