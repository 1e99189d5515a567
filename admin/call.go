package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

const (
	// projectionWait is how long a page waits for the projection to show what was just done.
	projectionWait = time.Second
	auditTimeout   = 5 * time.Second
)

// call is one order of an operator, from a page's form or from a program's JSON.
type call struct {
	who    actor
	r      *http.Request
	form   bool
	decode func(dst any) error
}

// deed is what came of an order.
type deed struct {
	Audit  int64  `json:"audit"` // id of its entry
	Object string `json:"object"`
	Seq    uint64 `json:"seq,omitempty"` // of the outcome in the log; absent where the log has no part in it
	Said   string `json:"said"`          // for people
	back   string // the page to go to
}

// pathID is a path parameter.
func pathID(r *http.Request, name string) (int64, error) {
	id, err := sale.ParseID(r.PathValue(name))
	if err != nil {
		return 0, web.BadRequest(name, "a positive whole number")
	}
	return id, nil
}

// decode reads a body as strictly as the public API does: by its reader.
func decode(w http.ResponseWriter, r *http.Request, form bool, dst any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, web.MaxBody))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return &web.Problem{Status: http.StatusRequestEntityTooLarge, Detail: "A body may have 64 KiB."}
	}
	if err != nil {
		return web.BadRequest("body", "a whole body")
	}
	var fast fasthttp.RequestCtx
	fast.Request.Header.SetMethod(fasthttp.MethodPost)
	fast.Request.Header.SetContentType(r.Header.Get("Content-Type"))
	fast.Request.SetBodyRaw(body)
	if form {
		return web.DecodeForm(&fast, dst)
	}
	return web.DecodeJSON(&fast, dst)
}

// order serves an order at two addresses: for programs below /api, and for the forms of pages.
func (a *Admin) order(mux *http.ServeMux, pattern string, do func(context.Context, *call) (deed, error)) {
	serve := func(form bool) http.HandlerFunc {
		return a.users(func(w http.ResponseWriter, r *http.Request, who actor) {
			c := &call{who: who, r: r, form: form, decode: func(dst any) error { return decode(w, r, form, dst) }}
			done, err := do(r.Context(), c)
			switch {
			case err != nil:
				a.fail(w, r, err)
			case form:
				back := localPath(r.URL.Query().Get("from"))
				if back == "/" {
					back = done.back
				}
				http.Redirect(w, r, back+"?done="+strconv.FormatInt(done.Audit, 10), http.StatusSeeOther)
			default:
				writeJSON(w, done)
			}
		})
	}
	mux.HandleFunc("POST "+pattern, serve(true))
	mux.HandleFunc("POST /api"+pattern, serve(false))
}

func writeJSON(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		(&web.Problem{Status: 500}).WriteHTTP(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the caller is gone if this fails
}

// result is what a deed gives to its audit.
type result struct {
	object string // if it was not known before
	seq    uint64
	said   string
}

// audited does something between the two halves of its entry in the audit. A crash in between leaves the first half.
func (a *Admin) audited(ctx context.Context, who actor, action, object string, asked any, do func() (result, error)) (deed, error) {
	id, err := a.deps.Store.BeginAudit(ctx, who.ID, action, object, map[string]any{"asked": asked})
	if err != nil {
		return deed{}, err
	}
	got, err := do()
	note := map[string]any{"result": "done", "said": got.said}
	if got.seq != 0 {
		note["seq"] = got.seq
	}
	label := "done"
	if err != nil {
		p, _ := problemOf(err)
		label = strings.TrimPrefix(p.Type, "/problems/")
		if label == "" {
			label = "failed"
		}
		note = map[string]any{"result": label, "said": p.Detail}
	}
	a.metrics.actions.WithLabelValues(action, label).Inc()
	// The deed is done, whoever has stopped listening.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if noted := a.deps.Store.EndAudit(ending, id, got.object, note); noted != nil {
		a.deps.Log.Error("an audit entry has no outcome", "audit", id, "error", noted)
	}
	if got.object != "" {
		object = got.object
	}
	return deed{Audit: id, Object: object, Seq: got.seq, Said: got.said}, err
}

// event reads the event that a path names, for those who may see it.
func (a *Admin) event(ctx context.Context, r *http.Request, who actor) (store.Event, error) {
	id, err := pathID(r, "event")
	if err != nil {
		return store.Event{}, err
	}
	e, err := a.deps.Store.LatestEvent(ctx, id)
	if err == nil && !who.may(e.Organiser) {
		err = store.ErrNotFound
	}
	return e, err
}

// room reads the room that a path names, for those who may see it.
func (a *Admin) room(ctx context.Context, r *http.Request, who actor) (store.Room, error) {
	id, err := pathID(r, "room")
	if err != nil {
		return store.Room{}, err
	}
	room, err := a.deps.Store.LatestRoom(ctx, id)
	if err == nil && !who.may(room.Organiser) {
		err = store.ErrNotFound
	}
	return room, err
}

// emptiest is the partition that the fewest use; the first of equals.
func emptiest(partitions int, used []int32) int32 {
	count := make([]int, partitions)
	for _, p := range used {
		if int(p) < partitions {
			count[p]++
		}
	}
	best := 0
	for p, n := range count {
		if n < count[best] {
			best = p
		}
	}
	return int32(best)
}

// partition reads the operator's choice; empty means the emptiest.
func partition(text string, partitions int, used []int32) (int32, error) {
	if text == "" {
		return emptiest(partitions, used), nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) >= partitions {
		return 0, web.Unprocessable("partition", "a partition of the log, or nothing to have one chosen")
	}
	return int32(n), nil
}
