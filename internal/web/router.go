package web

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"
)

// Labels of requests that no pattern matches.
const (
	routeUnknown = "unknown"
	routeOptions = "options"
)

// Route is a registered method and pattern: GET /booking/{id}.
type Route struct{ Method, Pattern string }

// Router dispatches requests to Handlers by method and pattern. Register everything, then serve.
type Router struct {
	shell   *Shell
	router  *router.Router
	routes  []Route
	methods []string // that have a route, sorted
	unknown fasthttp.RequestHandler
	options fasthttp.RequestHandler
}

// NewRouter returns a router without routes. Every answer, 404 and 405 included, goes through the shell.
func NewRouter(s *Shell) *Router {
	r := &Router{shell: s, router: router.New()}
	r.unknown = s.Wrap(routeUnknown, r.refuse)
	r.options = s.Wrap(routeOptions, func(ctx *fasthttp.RequestCtx) error {
		allowed := r.allowed(string(ctx.URI().PathOriginal()))
		if allowed == "" {
			return r.refuse(ctx)
		}
		ctx.Response.Header.Set(fasthttp.HeaderAllow, allowed)
		ctx.SetStatusCode(http.StatusNoContent)
		return nil
	})
	return r
}

// Handle registers h for a method and a pattern such as /rooms/{room}/join; GET is registered for HEAD too. A slash at
// the end of a pattern or of a path makes no difference. Registering a pattern twice panics: it is a programming error.
func (r *Router) Handle(method, pattern string, h Handler) {
	wrapped := r.shell.Wrap(method+" "+pattern, h)
	r.routes = append(r.routes, Route{Method: method, Pattern: pattern})
	r.register(method, pattern, wrapped)
	if method == http.MethodGet {
		r.register(http.MethodHead, pattern, wrapped)
	}
}

// register adds one method of a route.
func (r *Router) register(method, pattern string, h fasthttp.RequestHandler) {
	r.router.Handle(method, withoutSlash(pattern), h)
	if at, there := slices.BinarySearch(r.methods, method); !there {
		r.methods = slices.Insert(r.methods, at, method)
	}
}

// withoutSlash is the one spelling under which a path is looked up.
func withoutSlash(path string) string {
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// Handler serves a request; give it to a Server. The path is matched as it was sent: a percent-encoded slash does not
// separate segments.
func (r *Router) Handler(ctx *fasthttp.RequestCtx) {
	method := methodOf(ctx)
	if h := r.find(method, pathOf(ctx), ctx); h != nil {
		h(ctx)
		return
	}
	if method == http.MethodOptions {
		r.options(ctx)
		return
	}
	r.unknown(ctx)
}

// methodOf is a request's method, without a copy of the common ones.
func methodOf(ctx *fasthttp.RequestCtx) string {
	switch m := ctx.Method(); string(m) {
	case http.MethodGet:
		return http.MethodGet
	case http.MethodPost:
		return http.MethodPost
	default:
		return string(m)
	}
}

// pathOf is the path as it was sent. A path by itself, which nearly every request sends, needs no parsing of its address.
func pathOf(ctx *fasthttp.RequestCtx) string {
	uri := ctx.RequestURI()
	if len(uri) == 0 || uri[0] != '/' || len(uri) > 1 && uri[1] == '/' {
		return string(ctx.URI().PathOriginal())
	}
	if end := bytes.IndexAny(uri, "?#"); end >= 0 {
		uri = uri[:end]
	}
	return string(uri)
}

// find looks a path up as it is, for patterns that end in a wildcard, and without its last slash. ctx receives the
// parameters and may be nil.
func (r *Router) find(method, path string, ctx *fasthttp.RequestCtx) fasthttp.RequestHandler {
	if !slices.Contains(r.methods, method) || !strings.HasPrefix(path, "/") {
		return nil
	}
	if h, _ := r.router.Lookup(method, path, ctx); h != nil {
		return h
	}
	if bare := withoutSlash(path); bare != path && bare != "" {
		h, _ := r.router.Lookup(method, bare, ctx)
		return h
	}
	return nil
}

// allowed lists the methods that a path answers, as in an Allow header; empty if it answers none.
func (r *Router) allowed(path string) string {
	var found []string
	for _, method := range r.methods {
		if r.find(method, path, nil) != nil {
			found = append(found, method)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return strings.Join(append(found, http.MethodOptions), ", ")
}

// refuse answers what no route answers.
func (r *Router) refuse(ctx *fasthttp.RequestCtx) error {
	allowed := r.allowed(string(ctx.URI().PathOriginal()))
	if allowed == "" {
		return NotFound("There is nothing at this address.")
	}
	ctx.Response.Header.Set(fasthttp.HeaderAllow, allowed)
	return &Problem{Status: http.StatusMethodNotAllowed, Key: "method", Expected: "one of " + allowed,
		Detail: "This address answers " + allowed + "."}
}

// Routes returns what Handle was given, in that order, for tests that compare it with a description of the API.
func (r *Router) Routes() []Route { return slices.Clone(r.routes) }

// PathParam returns a copy of a pattern's parameter, percent-decoded; a 400 problem if it is not decodable.
func PathParam(ctx *fasthttp.RequestCtx, name string) (string, error) {
	raw, _ := ctx.UserValue(name).(string)
	value, err := url.PathUnescape(raw)
	if err != nil {
		return "", BadRequest(name, "a percent-encoded path segment")
	}
	return strings.Clone(value), nil
}

// PathInt64 returns a pattern's parameter as a positive id; a 400 problem if it is none.
func PathInt64(ctx *fasthttp.RequestCtx, name string) (int64, error) {
	if raw, _ := ctx.UserValue(name).(string); len(raw) > 0 && len(raw) < 19 && raw[0] != '0' {
		if id, err := strconv.ParseUint(raw, 10, 63); err == nil {
			return int64(id), nil
		}
	}
	text, err := PathParam(ctx, name)
	if err != nil {
		return 0, err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 || strconv.FormatInt(id, 10) != text {
		return 0, BadRequest(name, "a positive whole number")
	}
	return id, nil
}
