package crowd

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// userAgent names us: a crowd that pretends to be something else would be of no use to an operator.
	userAgent = "Mozilla/5.0 (compatible; FairgateCrowd/1.0)"
	// maxAnswer is the largest body that is read, in bytes.
	maxAnswer = 1 << 20
	// firstBackoff and mostBackoff bound the pause before a request is sent again where the server does not say.
	firstBackoff = 200 * time.Millisecond
	mostBackoff  = 3 * time.Second
	// mostRetryAfter is the longest a fan heeds a Retry-After.
	mostRetryAfter = 30 * time.Second
	// idleConn is how long a connection is kept for the next fan: less than servers keep it.
	idleConn = 30 * time.Second
)

// header is one more header of a request.
type header struct{ name, value string }

// call is a request that may be sent any number of times.
type call struct {
	method string
	path   string // with the query
	body   []byte // nil for none
	form   bool   // the body is a form, else JSON
	from   string // the fan's address
	with   []header
}

// reply is an answer, in memory of its own.
type reply struct {
	status int
	body   []byte
	retry  time.Duration // Retry-After; 0 for none
	etag   string
	to     string // Location
}

// problem is what a fan understands of problem+json (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// kind is the last segment of the answer's problem type, empty for none.
func (r *reply) kind() string {
	var p problem
	// An answer that is no problem document has no kind.
	_ = json.Unmarshal(r.body, &p)
	return p.Type[strings.LastIndexByte(p.Type, '/')+1:]
}

func (r *reply) ok() bool { return r.status >= 200 && r.status < 300 }

// read decodes a success.
func (r *reply) read(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return fmt.Errorf("reading an answer %d: %w", r.status, err)
	}
	return nil
}

// caller sends requests to one server over a bounded number of kept connections.
type caller struct {
	client  *fasthttp.HostClient
	base    string // scheme://host
	host    string
	timeout time.Duration
	tally   *tally
}

func newCaller(base string, cfg Config, t *tally) (*caller, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	never := func(*fasthttp.Request, int, error) (bool, bool) { return false, false }
	return &caller{
		base: u.Scheme + "://" + u.Host, host: u.Host, timeout: cfg.RequestTimeout, tally: t,
		client: &fasthttp.HostClient{
			Addr: addr, IsTLS: u.Scheme == "https", Name: userAgent, MaxConns: cfg.Conns, MaxConnWaitTimeout: cfg.RequestTimeout,
			MaxIdleConnDuration: idleConn, MaxResponseBodySize: maxAnswer, ReadTimeout: cfg.RequestTimeout,
			WriteTimeout: cfg.RequestTimeout,
			// We send again ourselves, and count it.
			MaxIdemponentCallAttempts: 1, RetryIfErr: never,
		},
	}, nil
}

func (c *caller) close() { c.client.CloseIdleConnections() }

// once sends a call one time. The error is the connection's; whether the server acted is not known then.
func (c *caller) once(k *call) (reply, error) {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI(c.base + k.path)
	req.Header.SetMethod(k.method)
	req.Header.Set(fasthttp.HeaderAccept, "application/json")
	req.Header.Set(fasthttp.HeaderAcceptLanguage, "en")
	if k.from != "" {
		req.Header.Set(fasthttp.HeaderXForwardedFor, k.from)
	}
	for _, h := range k.with {
		req.Header.Set(h.name, h.value)
	}
	if k.body != nil {
		req.Header.SetContentType("application/json")
		if k.form {
			req.Header.SetContentType("application/x-www-form-urlencoded")
		}
		req.SetBodyRaw(k.body)
	}
	if err := c.client.DoTimeout(req, resp, c.timeout); err != nil {
		c.tally.trouble("connection")
		return reply{}, err
	}
	r := reply{
		status: resp.StatusCode(), body: append([]byte(nil), resp.Body()...), etag: string(resp.Header.Peek(fasthttp.HeaderETag)),
		to: string(resp.Header.Peek(fasthttp.HeaderLocation)), retry: retryAfter(string(resp.Header.Peek(fasthttp.HeaderRetryAfter))),
	}
	if r.status >= http.StatusBadRequest {
		c.tally.trouble(strconv.Itoa(r.status))
	}
	return r, nil
}

// retryAfter reads the seconds of a Retry-After; our servers send no dates.
func retryAfter(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, mostRetryAfter)
}

// again sends a call until it has an answer that is neither a server's failure (5xx) nor a limit (429), as a page would.
// It gives up when ctx ends.
func (c *caller) again(ctx context.Context, rnd *rand.Rand, k *call) (reply, error) {
	backoff := firstBackoff
	for {
		if err := ctx.Err(); err != nil {
			return reply{}, err
		}
		r, err := c.once(k)
		if err == nil && r.status < 500 && r.status != http.StatusTooManyRequests {
			return r, nil
		}
		wait := backoff
		if err == nil && r.retry > 0 {
			wait = r.retry
		}
		if !pause(ctx, jitter(rnd, wait)) {
			return reply{}, ctx.Err()
		}
		backoff = min(backoff*2, mostBackoff)
	}
}

// jitter stretches a pause by up to a half, so that those refused together do not come back together.
func jitter(rnd *rand.Rand, d time.Duration) time.Duration {
	return d + time.Duration(rnd.Int64N(int64(d)/2+1))
}
