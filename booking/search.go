package booking

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/singleflight"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

const (
	// redisWait is how long the cache may take before Postgres is asked.
	redisWait = 100 * time.Millisecond
	// redisPause is how long a cache that failed is left alone.
	redisPause = time.Second
)

// searcher answers event searches from Redis or Postgres. Equal searches at the same moment are one.
type searcher struct {
	db      *store.DB
	redis   redis.UniversalClient
	life    time.Duration
	metrics *metrics
	flight  singleflight.Group
	paused  atomic.Int64 // until when Redis is left alone, Unix ns
}

func newSearcher(db *store.DB, r redis.UniversalClient, life time.Duration, m *metrics) *searcher {
	return &searcher{db: db, redis: r, life: life, metrics: m}
}

// find answers a search. The slice is shared.
func (s *searcher) find(ctx context.Context, q store.EventQuery) ([]store.EventSummary, error) {
	key := searchKey(q)
	v, err, _ := s.flight.Do(key, func() (any, error) {
		if found, ok := s.cached(ctx, key); ok {
			s.metrics.searches.WithLabelValues("redis").Inc()
			return found, nil
		}
		found, err := s.db.SearchEvents(ctx, q)
		if err != nil {
			return nil, err
		}
		s.metrics.searches.WithLabelValues("postgres").Inc()
		s.cache(ctx, key, found)
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return v.([]store.EventSummary), nil
}

// searchKey names a search: the same for all that must have the same answer.
func searchKey(q store.EventQuery) string {
	normal, _ := json.Marshal(q)
	sum := sha256.Sum256(normal)
	return wire.RedisEvents + hex.EncodeToString(sum[:16])
}

func (s *searcher) cached(ctx context.Context, key string) (found []store.EventSummary, ok bool) {
	if s.resting() {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	raw, err := s.redis.Get(ctx, key).Bytes()
	if err != nil {
		s.rest(err)
		return nil, false
	}
	// What cannot be read was written by another version: Postgres knows better.
	return found, json.Unmarshal(raw, &found) == nil
}

func (s *searcher) cache(ctx context.Context, key string, found []store.EventSummary) {
	if s.resting() {
		return
	}
	raw, err := json.Marshal(found)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	s.rest(s.redis.Set(ctx, key, raw, s.life).Err())
}

func (s *searcher) resting() bool {
	return s.redis == nil || time.Now().UnixNano() < s.paused.Load()
}

// rest leaves a failing cache alone for a moment: searches are slower without it, not as slow as its timeouts.
func (s *searcher) rest(err error) {
	if err != nil && err != redis.Nil {
		s.paused.Store(time.Now().Add(redisPause).UnixNano())
	}
}

// eventQuery reads a search from the parameters of a request.
func eventQuery(ctx *fasthttp.RequestCtx) (store.EventQuery, error) {
	var out store.EventQuery
	q, err := queryOf(ctx, "search", "name", "start_date", "end_date", "limit", "cursor")
	if err != nil {
		return out, err
	}
	for _, key := range []string{"search", "name"} {
		if len(q[key]) > maxSearch {
			return out, web.BadRequest(key, fmt.Sprintf("at most %d bytes", maxSearch))
		}
	}
	out.Text = strings.ToLower(strings.Join(strings.Fields(q["search"]+" "+q["name"]), " "))
	if out.From, err = q.date("start_date"); err != nil {
		return out, err
	}
	if out.To, err = q.date("end_date"); err != nil {
		return out, err
	}
	if !out.From.IsZero() && !out.To.IsZero() && out.To.Before(out.From) {
		return out, web.Unprocessable("end_date", "a date not before start_date")
	}
	if out.Limit, err = q.limit(); err != nil {
		return out, err
	}
	date, id, err := q.cursor()
	if err != nil || date == "" {
		return out, err
	}
	if out.After.Date, err = time.Parse(time.DateOnly, date); err != nil {
		return out, badCursor()
	}
	if out.After.ID, err = sale.ParseID(id); err != nil {
		return out, badCursor()
	}
	return out, nil
}

// findEvents returns a page of a search and the cursor of the next one.
func (a *API) findEvents(ctx *fasthttp.RequestCtx) (views []eventView, next string, err error) {
	q, err := eventQuery(ctx)
	if err != nil {
		return nil, "", err
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	limit := q.Limit
	// One more than asked tells whether there is a next page.
	q.Limit = min(limit+1, store.MaxEventsPage)
	found, err := a.search.find(request, q)
	if err != nil {
		return nil, "", err
	}
	more := len(found) > limit || limit == store.MaxEventsPage && len(found) == limit
	found = found[:min(len(found), limit)]
	if more {
		last := found[len(found)-1]
		next = cursorOf(last.StartDate.Format(time.DateOnly), strconv.FormatInt(last.ID, 10))
	}
	views = make([]eventView, len(found))
	for i, s := range found {
		views[i] = a.eventView(s)
	}
	return views, next, nil
}

// listEvents is GET /events/.
func (a *API) listEvents(ctx *fasthttp.RequestCtx) error {
	if web.WantsHTML(ctx) {
		return a.home(ctx)
	}
	views, next, err := a.findEvents(ctx)
	if err != nil {
		return err
	}
	linkNext(ctx, next)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, fmt.Sprintf("public, max-age=%d", int(a.cfg.SearchCache/time.Second)))
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	return web.WriteJSON(ctx, fasthttp.StatusOK, views)
}

// showEvent is GET /events/{id}.
func (a *API) showEvent(ctx *fasthttp.RequestCtx) error {
	id, err := web.PathInt64(ctx, "id")
	if err != nil {
		return a.fail(ctx, err)
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	e, err := a.event(request, id)
	if err != nil {
		return a.fail(ctx, err)
	}
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	if web.WantsHTML(ctx) {
		return a.eventPage(ctx, &e)
	}
	return web.WriteJSON(ctx, fasthttp.StatusOK, a.eventDetail(&e))
}
