package booking

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
)

// Limits of queries.
const (
	maxPage      = 100
	defaultPage  = 20
	maxSearch    = 200 // bytes
	maxCursor    = 200 // bytes
	maxQueryKeys = 16
)

// query is a request's parameters, each given at most once and all of them known.
type query map[string]string

// queryOf reads the parameters. Strangers to the API are refused by name; pages are forgiving, since links to them
// gather all sorts of parameters.
func queryOf(ctx *fasthttp.RequestCtx, known ...string) (query, error) {
	raw := string(ctx.URI().QueryString())
	if strings.Count(raw, "&") >= maxQueryKeys {
		return nil, web.BadRequest("query", fmt.Sprintf("at most %d parameters", maxQueryKeys))
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, web.BadRequest("query", "percent-encoded parameters")
	}
	q := query{}
	for key, given := range values {
		switch {
		case !slices.Contains(known, key) && web.WantsHTML(ctx):
		case !slices.Contains(known, key):
			return nil, web.BadRequest(short(key), "one of the parameters "+strings.Join(known, ", "))
		case len(given) > 1:
			return nil, web.BadRequest(key, "to be given once")
		case !clean(given[0]):
			return nil, web.BadRequest(key, "UTF-8 text without control characters")
		default:
			q[key] = given[0]
		}
	}
	return q, nil
}

// short is what of a client's own key is said back.
func short(key string) string {
	key = strings.ToValidUTF8(key, "?")
	if len(key) > 40 {
		return strings.ToValidUTF8(key[:40], "") + "…"
	}
	return key
}

func clean(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// limit is the page size.
func (q query) limit() (int, error) {
	text, given := q["limit"]
	if !given || text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, web.BadRequest("limit", fmt.Sprintf("a number from 1 to %d", maxPage))
	}
	return n, nil
}

// date is a local date, zero if it is not given.
func (q query) date(key string) (time.Time, error) {
	text := strings.TrimSpace(q[key])
	if text == "" {
		return time.Time{}, nil
	}
	d, err := time.Parse(time.DateOnly, text)
	if err != nil || d.Year() < 1 {
		return time.Time{}, web.BadRequest(key, "a date such as 2026-11-22")
	}
	return d, nil
}

// cursor splits what cursorOf wrote into its two parts.
func (q query) cursor() (first, second string, err error) {
	text := q["cursor"]
	if text == "" {
		return "", "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	first, second, found := strings.Cut(string(raw), " ")
	if err != nil || len(text) > maxCursor || !found || !clean(string(raw)) {
		return "", "", badCursor()
	}
	return first, second, nil
}

func badCursor() error { return web.BadRequest("cursor", "a cursor from a Link header") }

func cursorOf(first, second string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(first + " " + second))
}

// linkNext sets the Link header to the next page (RFC 8288): the same query with another cursor.
func linkNext(ctx *fasthttp.RequestCtx, cursor string) {
	if cursor == "" {
		return
	}
	values, _ := url.ParseQuery(string(ctx.URI().QueryString()))
	values.Set("cursor", cursor)
	ctx.Response.Header.Set("Link", "<"+string(ctx.URI().PathOriginal())+"?"+values.Encode()+`>; rel="next"`)
}
