package stripesim

import (
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// request is one API call, read and checked as far as every endpoint needs it.
type request struct {
	id          string // the object in the path
	requestID   string
	key         string // Idempotency-Key, of writes
	print       string // what the key stands for
	publishable bool
	route       *route
	params      *params
	expand      expansion
	header      http.Header
}

// answer is what goes out.
type answer struct {
	status   int
	body     []byte
	replayed bool
	original string   // the request whose answer is replayed
	position int64    // in the journal: durable up to here before it goes out
	events   []*Event // that the call made
}

// Handler serves the API under /v1/ and the payment pages under /pay/ and /3ds/. The server around it owns timeouts.
func (s *Sim) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/", s.serveAPI)
	mux.HandleFunc("GET /pay/{intent}", s.showPay)
	mux.HandleFunc("POST /pay/{intent}", s.submitPay)
	mux.HandleFunc("GET /3ds/{intent}", s.showSecure)
	mux.HandleFunc("POST /3ds/{intent}", s.submitSecure)
	mux.HandleFunc("/", s.serveAPI)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			mux.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many requests in progress", http.StatusServiceUnavailable)
		}
	})
}

// serveAPI answers one call.
func (s *Sim) serveAPI(w http.ResponseWriter, hr *http.Request) {
	s.mu.Lock()
	r := &request{requestID: "req_" + s.randomText(14), header: hr.Header}
	s.mu.Unlock()
	h := w.Header()
	h.Set("Request-Id", r.requestID)
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Access-Control-Allow-Origin", "*") // as Stripe's own: calls carry a key, never a cookie
	h.Set("Access-Control-Expose-Headers", "Request-Id, Idempotent-Replayed, Stripe-Version")
	if version := hr.Header.Get("Stripe-Version"); version != "" && len(version) < 64 {
		h.Set("Stripe-Version", version)
	} else {
		h.Set("Stripe-Version", APIVersion)
	}
	if hr.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Stripe-Version")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	out, err := s.answer(r, w, hr)
	if err != nil {
		out = s.refuse(err, r.requestID, h)
	}
	if out.replayed {
		h.Set("Idempotent-Replayed", "true")
		h.Set("Original-Request", out.original)
	}
	if r.key != "" {
		h.Set("Idempotency-Key", r.key)
	}
	name := "unknown"
	if r.route != nil {
		name = r.route.name()
	}
	s.metrics.requests.WithLabelValues(name, strconv.Itoa(out.status)).Inc()
	w.WriteHeader(out.status)
	w.Write(out.body)
}

// answer does what the call asks. An error it returns was found before any work began and is saved for no key.
func (s *Sim) answer(r *request, w http.ResponseWriter, hr *http.Request) (answer, error) {
	r.route, r.id = s.find(hr.Method, hr.URL.Path)
	if err := s.authenticate(r, hr); err != nil {
		return answer{}, err
	}
	if r.route == nil {
		return answer{}, early(http.StatusNotFound, "invalid_request_error", "",
			"Unrecognized request URL (%s: %.200s).", hr.Method, hr.URL.Path)
	}
	call := Call{Point: PointArrive, Endpoint: r.route.name(), Object: r.id, Header: hr.Header}
	if _, err := s.strike(hr, call); err != nil {
		return answer{}, err
	}
	if !r.publishable {
		if reason := s.limits.take(r.route.name(), s.clock()); reason != "" {
			w.Header().Set("Stripe-Rate-Limited-Reason", reason)
			return answer{}, statusError(http.StatusTooManyRequests, "rate_limit")
		}
	}
	if err := s.readParams(r, w, hr); err != nil {
		return answer{}, err
	}
	if r.publishable {
		if err := s.checkClientSecret(r); err != nil {
			return answer{}, err
		}
	}
	out, err := s.carryOut(r, hr, call)
	if err != nil {
		return answer{}, err
	}
	if err := s.journal.flush(out.position); err != nil {
		return answer{}, err
	}
	call.Point = PointAnswer
	_, err = s.strike(hr, call, out.events...)
	return out, err
}

// carryOut runs a read at once, and a write once per idempotency key.
func (s *Sim) carryOut(r *request, hr *http.Request, call Call) (answer, error) {
	if r.route.method == http.MethodGet {
		return s.read(r)
	}
	saved, release, err := s.claim(r)
	if err != nil || saved != nil {
		if saved != nil {
			return *saved, nil
		}
		return answer{}, err
	}
	defer release()
	call.Point = PointExecute
	fault, failure := s.strike(hr, call)
	out, err := s.write(r, failure, fault.Done)
	if err != nil {
		return answer{}, err
	}
	return out, s.journal.flush(out.position) // the key stays claimed until its answer is on disk
}

// authenticate finds out whose key it is. Comparison takes the same time however much of it is right.
func (s *Sim) authenticate(r *request, hr *http.Request) error {
	key, _, ok := hr.BasicAuth()
	if !ok {
		key, ok = strings.CutPrefix(hr.Header.Get("Authorization"), "Bearer ")
	}
	if !ok || key == "" {
		return early(http.StatusUnauthorized, "invalid_request_error", "", "You did not provide an API key.")
	}
	if subtle.ConstantTimeCompare([]byte(key), []byte(s.cfg.SecretKey)) == 1 {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(key), []byte(s.cfg.PublishableKey)) != 1 {
		return early(http.StatusUnauthorized, "invalid_request_error", "", "Invalid API Key provided.")
	}
	if r.route != nil && !r.route.public {
		return early(http.StatusUnauthorized, "invalid_request_error", "secret_key_required",
			"This API call cannot be made with a publishable API key.")
	}
	r.publishable = true
	return nil
}

// checkClientSecret lets a shopper at the one intent whose secret they have; an unknown intent looks the same.
func (s *Sim) checkClientSecret(r *request) error {
	s.mu.Lock()
	pi := s.state.intents.get(r.id)
	s.mu.Unlock()
	if pi == nil || !sameSecret(r.params.text("client_secret", 200), pi.ClientSecret) {
		return invalid("client_secret", "payment_intent_invalid_parameter", "The client_secret does not match any PaymentIntent.")
	}
	return nil
}

func sameSecret(given, real string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(real)) == 1
}

// readParams reads query and form, at most maxBodyBytes of it.
func (s *Sim) readParams(r *request, w http.ResponseWriter, hr *http.Request) error {
	raw := hr.URL.RawQuery
	if hr.Method == http.MethodPost {
		body, err := io.ReadAll(http.MaxBytesReader(w, hr.Body, maxBodyBytes))
		if err != nil {
			return early(http.StatusRequestEntityTooLarge, "invalid_request_error", "",
				"The request's body could not be read: expected at most %d bytes.", maxBodyBytes)
		}
		if len(body) > 0 {
			if kind := hr.Header.Get("Content-Type"); kind != "" && !strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
				return early(http.StatusUnsupportedMediaType, "invalid_request_error", "", "Expected application/x-www-form-urlencoded.")
			}
			raw = strings.Trim(raw+"&"+string(body), "&")
		}
	}
	var err error
	if r.params, err = parseParams(raw); err != nil {
		return err
	}
	if hr.Method == http.MethodPost {
		r.key = hr.Header.Get("Idempotency-Key")
		r.print = fingerprint(hr.Method, hr.URL.Path, r.params)
		if len(r.key) > maxKeyLength {
			return early(http.StatusBadRequest, "idempotency_error", "", "An Idempotency-Key has at most %d characters.", maxKeyLength)
		}
	}
	r.expand, err = parseExpand(r.params, r.route.kind, r.route.list)
	return err
}

// strike lets the fault policy act at a point on a call that made events. A dropped connection never returns.
func (s *Sim) strike(hr *http.Request, call Call, events ...*Event) (Fault, error) {
	f := s.faults.At(call)
	if f.Early {
		s.awaitWebhooks(hr.Context(), events)
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-hr.Context().Done():
		}
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	if f.Status != 0 {
		return f, statusError(f.Status, f.Code)
	}
	return f, nil
}

// read runs a route that changes nothing and sees what it depends on become durable first.
func (s *Sim) read(r *request) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(r.requestID, "")
	result, err := r.route.do(t, r)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: s.show(r, result), position: s.journal.position()}, nil
}

// write runs a route as one transaction and saves its answer under the key. fault, when set, is its answer instead, and
// done says that the work is done all the same. A refusal publishes nothing, save a card's decline, which is a fact.
func (s *Sim) write(r *request, fault error, done bool) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.begin(r.requestID, r.key)
	t.call = Call{Endpoint: r.route.name(), Header: r.header}
	result, problem, err := t.execute(r, fault, done)
	if err != nil {
		return answer{}, err
	}
	s.state.apply(t.line)
	out := answer{status: http.StatusOK, events: t.line.Events}
	if problem != nil {
		out.status = problem.status
		out.body = encode(renderer{s, t.second()}.problem(problem, r.requestID))
	} else {
		out.body = s.show(r, result)
	}
	if r.key != "" {
		t.line.Answer = &savedAnswer{
			Key: r.key, Print: r.print, Request: r.requestID, Status: out.status, Body: string(out.body), Created: t.second(),
		}
		s.state.saveAnswer(t.line.Answer)
	}
	out.position, err = s.commit(t)
	return out, err
}

// execute does a route's work and returns its result, or the problem that is its answer. An error is saved for no key.
func (t *tx) execute(r *request, fault error, done bool) (result any, problem *apiError, err error) {
	if fault == nil || done {
		result, err = r.route.do(t, r)
	}
	if err != nil && !errors.As(err, &problem) || problem != nil && problem.early {
		return nil, nil, err
	}
	if problem != nil && problem.kind != "card_error" && !problem.keep {
		t.line = &line{}
	}
	if fault != nil && !errors.As(fault, &problem) {
		return nil, nil, fault
	}
	return result, problem, nil
}

// act runs a change that no request asked for, and waits until it is durable.
func (s *Sim) act(f func(*tx) error) error {
	position, err := func() (int64, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		t := s.begin("", "")
		err := f(t)
		var problem *apiError
		if err != nil && (!errors.As(err, &problem) || problem.kind != "card_error") {
			return 0, err
		}
		if t.line.empty() {
			return s.journal.position(), err
		}
		s.state.apply(t.line)
		position, failed := s.commit(t)
		return position, errors.Join(err, failed)
	}()
	return errors.Join(err, s.journal.flush(position))
}

// show renders a result for the caller's key. The caller holds s.mu.
func (s *Sim) show(r *request, result any) []byte {
	view := renderer{s, s.clock().Unix()}
	if pi, ok := result.(*Intent); ok && r.publishable {
		return encode(view.shopperIntent(pi))
	}
	return encode(view.render(result, r.expand))
}

// refuse turns an error into an answer; one that is not Stripe's is our own failure and is logged, not shown.
func (s *Sim) refuse(err error, requestID string, h http.Header) answer {
	var problem *apiError
	if !errors.As(err, &problem) {
		s.log.Error("stripe simulator: request failed", "request", requestID, "error", err)
		problem = statusError(http.StatusInternalServerError, "")
	}
	if problem.status == http.StatusConflict {
		h.Set("Stripe-Should-Retry", "true")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return answer{status: problem.status, body: encode(renderer{s, s.clock().Unix()}.problem(problem, requestID))}
}
