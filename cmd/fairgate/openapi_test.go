package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"fairgate/booking"
)

// serveStage runs the whole stack with a rehearsal's sale in this process until the test ends.
func serveStage(t *testing.T, fans int) *stack {
	t.Helper()
	dir, remove, err := scratch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remove)
	o := stackOptions{dir: dir}
	for _, to := range []*string{&o.shop, &o.admin, &o.pay, &o.ops} {
		if *to, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	stage := newRehearsal(fans)
	o.overlay = stage.overlay
	ctx, cancel := context.WithCancel(t.Context())
	s, err := openStack(ctx, o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the stack ended with %v", err)
		}
	})
	if err := s.whenReady(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stage.seed(ctx, s.db, s.publisher(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.roomServed(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// contract holds requests and answers against the OpenAPI document.
type contract struct {
	t    *testing.T
	base string
	v    validator.Validator
}

func newContract(t *testing.T, base string) contract {
	t.Helper()
	document, err := libopenapi.NewDocument(booking.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return contract{t, base, v}
}

// call sends a request and returns the decoded answer; both must be as the document describes them.
func (c contract) call(status int, method, path, body string, header ...string) map[string]any {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if res.StatusCode != status {
		c.t.Fatalf("%s %s answered %d, want %d: %s", method, path, res.StatusCode, status, b)
	}
	req.Body = io.NopCloser(strings.NewReader(body))
	if status < 300 && body != "" {
		if ok, errs := c.v.ValidateHttpRequestSync(req); !ok {
			c.t.Errorf("%s %s was taken, but is not as described: %v", method, path, errs)
		}
	}
	res.Body = io.NopCloser(bytes.NewReader(b))
	if ok, errs := c.v.ValidateHttpResponse(req, res); !ok {
		for _, e := range errs {
			c.t.Errorf("%s %s: the answer %s is not as described: %s", method, path, b, e)
		}
	}
	var answer map[string]any
	_ = json.Unmarshal(b, &answer)
	return answer
}

func TestOpenAPI_DescribesExactlyWhatIsServed(t *testing.T) {
	s := serveStage(t, 10)
	var served, described []string
	for _, r := range s.public.Routes() {
		served = append(served, r.Method+" "+r.Pattern)
	}
	document, err := libopenapi.NewDocument(booking.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	model, err := document.BuildV3Model()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(served, "\n"), strings.Join(described, "\n"))
	}
	t.Run("waiting room", func(t *testing.T) { walkRoom(t, newContract(t, s.shopURL())) })
}

// walkRoom takes one fan by JSON and headers alone from the door to a hold, and another who leaves.
func walkRoom(t *testing.T, c contract) {
	room := fmt.Sprintf("/rooms/%d", rehearsalRoom)
	c.call(200, "GET", room, "")
	c.call(200, "GET", room+"/queue", "")
	c.call(404, "GET", "/rooms/999/queue", "")
	c.call(200, "GET", "/.well-known/jwks.json", "")
	c.call(200, "POST", room+"/arrive", `{"lane":"timed"}`)
	c.call(400, "POST", room+"/arrive", `{"lane":5}`)
	c.call(400, "POST", room+"/join", `{"challenge":"AAAA","solution":""}`)
	c.call(403, "GET", room+"/place", "")
	c.call(403, "POST", room+"/enter", `{}`)

	visitor, token := joinRoom(t, c, room)
	owner := []string{"Queue-Visitor", visitor, "Queue-Token", token}
	c.call(200, "GET", room+"/place", "", owner...)
	if here := c.call(200, "GET", room, "", owner...); here["place"] == nil {
		t.Errorf("the room does not know the place in the headers: %v", here)
	}
	c.call(200, "POST", room+"/arrive", `{}`, owner...)
	pass := enterRoom(t, c, room, owner)
	hold := fmt.Sprintf(`{"userId":"walker","eventId":%d}`, rehearsalEvent)
	c.call(403, "POST", "/booking", hold)
	held := c.call(201, "POST", "/booking", hold, "Admission-Pass", pass)
	c.call(200, "DELETE", "/booking/"+held["id"].(string), "")

	visitor, token = joinRoom(t, c, room)
	c.call(200, "POST", room+"/leave", "", "Queue-Visitor", visitor, "Queue-Token", token)
	c.call(400, "POST", "/webhooks/stripe", `{}`)
}

func joinRoom(t *testing.T, c contract, room string) (visitor, token string) {
	t.Helper()
	a := c.call(200, "POST", room+"/arrive", `{}`)
	p := a["puzzle"].(map[string]any)
	var seed [32]byte
	if n, err := hex.Decode(seed[:], []byte(p["seed"].(string))); n != len(seed) || err != nil {
		t.Fatal("seed", p["seed"], err)
	}
	var solution []byte
	for i := range int(p["subPuzzles"].(float64)) {
		nonce, err := solve(p["algorithm"].(string), seed, i, uint32(p["k"].(float64)), uint32(p["difficulty"].(float64)))
		if err != nil {
			t.Fatal(err)
		}
		solution = append(solution, nonce...)
	}
	visitor = a["visitor"].(string)
	body := fmt.Sprintf(`{"challenge":%q,"solution":%q}`, a["challenge"], base64.RawURLEncoding.EncodeToString(solution))
	joined := c.call(200, "POST", room+"/join", body, "Queue-Visitor", visitor)
	if joined["recorded"] != true {
		t.Fatalf("not recorded: %v", joined)
	}
	return visitor, joined["token"].(string)
}

// enterRoom asks until it is let in; each refusal on the way says when to ask again.
func enterRoom(t *testing.T, c contract, room string, owner []string) (pass string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	body := `{}`
	for time.Now().Before(deadline) {
		req, err := http.NewRequestWithContext(t.Context(), "POST", c.base+room+"/enter", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(owner[0], owner[1])
		req.Header.Set(owner[2], owner[3])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		status := res.StatusCode
		_ = res.Body.Close()
		switch status {
		case 200:
			return c.call(200, "POST", room+"/enter", body, owner...)["pass"].(string)
		case 428:
			body = attend(t, c.call(428, "POST", room+"/enter", `{}`, owner...))
			continue
		}
		if (status != 202 && status != 403) || (status == 403 && res.Header.Get("Retry-After") == "") {
			t.Fatalf("enter answered %d", status)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Fatal("not let in")
	return ""
}

// attend solves what the door asks for and is the body to ask with.
func attend(t *testing.T, asked map[string]any) string {
	t.Helper()
	b, err := json.Marshal(asked["puzzle"])
	if err != nil {
		t.Fatal(err)
	}
	body, err := attendance(b)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// attendance is the proof of presence for a puzzle as the door asks it.
func attendance(puzzle []byte) (body string, err error) {
	var p struct {
		Algorithm, Seed, Document string
		K, Difficulty             uint32
	}
	if err := json.Unmarshal(puzzle, &p); err != nil {
		return "", err
	}
	var seed [32]byte
	if _, err := hex.Decode(seed[:], []byte(p.Seed)); err != nil {
		return "", err
	}
	nonce, err := solve(p.Algorithm, seed, 0, p.K, p.Difficulty)
	return fmt.Sprintf(`{"presence":{"document":%q,"solution":%q}}`, p.Document, base64.RawURLEncoding.EncodeToString(nonce)), err
}
