package bots

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/wire"
)

// userAgent is a browser's: bots that are worth measuring have one.
const userAgent = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36"

const requestTimeout = 15 * time.Second

// client speaks to the server for everybody.
type client struct {
	http *fasthttp.HostClient
	path string // of the room
}

func newClient(url string, room int64) (*client, error) {
	host, ok := strings.CutPrefix(url, "http://")
	if !ok {
		return nil, fmt.Errorf("url: expected http://host:port, got %q", url)
	}
	return &client{
		http: &fasthttp.HostClient{Addr: host, MaxConns: 2 * workers, MaxIdleConnDuration: 20 * time.Second, ReadTimeout: requestTimeout,
			WriteTimeout: requestTimeout, MaxConnWaitTimeout: requestTimeout, MaxIdemponentCallAttempts: 1},
		path: fmt.Sprintf("http://%s/rooms/%d/", host, room),
	}, nil
}

// answer is what the server said.
type answer struct {
	status int
	retry  time.Duration // the wall's
	body   []byte
	took   time.Duration // the wall's
}

// kind is the last segment of a problem's type.
func (a *answer) kind() string {
	var p struct{ Type string }
	if json.Unmarshal(a.body, &p) != nil {
		return ""
	}
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:]
}

// send makes a request; a connection that fails counts as a server that is busy.
func (c *client) send(path string, body any, from netip.Addr, p *party) (a answer) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(c.path + path)
	h := &req.Header
	h.SetUserAgent(userAgent)
	h.Set("Accept", "application/json")
	h.Set("Accept-Language", "en")
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return answer{}
		}
		h.SetMethod(fasthttp.MethodPost)
		h.SetContentType("application/json")
		req.SetBody(b)
	}
	if p != nil {
		h.Set("X-Forwarded-For", from.String())
		if p.secret != "" {
			h.Set("Queue-Visitor", p.secret)
		}
		if p.token != "" {
			h.Set("Queue-Token", p.token)
		}
	}
	began := time.Now()
	if err := c.http.DoTimeout(req, resp, requestTimeout); err != nil {
		return answer{took: time.Since(began)}
	}
	a = answer{status: resp.StatusCode(), body: append([]byte(nil), resp.Body()...), took: time.Since(began)}
	if s, err := strconv.Atoi(string(resp.Header.Peek(fasthttp.HeaderRetryAfter))); err == nil {
		a.retry = time.Duration(s) * time.Second
	}
	return a
}

// puzzle is what a place costs.
type puzzle struct {
	Algorithm  string
	SubPuzzles int
	K          uint32
	Difficulty uint32
	Seed       string
}

type arrival struct {
	Challenge string
	Visitor   string
	Puzzle    puzzle
}

// solve works for real, at the server's price.
func (d *Deps) solve(p *puzzle) (string, error) {
	var seed [32]byte
	if n, err := hex.Decode(seed[:], []byte(p.Seed)); err != nil || n != len(seed) {
		return "", fmt.Errorf("the server gave the seed %q", p.Seed)
	}
	var solution []byte
	for sub := range p.SubPuzzles {
		nonce, err := d.Solve(p.Algorithm, seed, sub, p.K, p.Difficulty)
		if err != nil {
			return "", err
		}
		solution = append(solution, nonce...)
	}
	return base64.RawURLEncoding.EncodeToString(solution), nil
}

// document reads the room's newest.
func (c *client) document() (d wire.QueueDocument, err error) {
	a := c.send("queue", nil, netip.Addr{}, nil)
	if a.status != fasthttp.StatusOK {
		return d, fmt.Errorf("the queue document: status %d", a.status)
	}
	return d, json.Unmarshal(a.body, &d)
}
