package waitingroom

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/waitingroom/gatekeeper"
)

// CookieReturn keeps where on a protected site a visitor wanted to go; then the room.
const CookieReturn = "fg_return_"

// returnLife is how long that is remembered: longer than people wait.
const returnLife = 24 * time.Hour

// maxSites is the most sites that an edge knows.
const maxSites = 1000

// Site is a part of any site that a room protects, such as a page that Fairgate does not serve.
type Site struct {
	Room int64  `yaml:"room" help:"number of the waiting room"`
	URL  string `yaml:"url" help:"where an admitted visitor goes who did not come from a page of the site: https://site.example/sale, or /sale where the site serves the waiting room under its own name"`
}

// Validate names the key that cannot work.
func (s Site) Validate() error {
	if s.Room <= 0 {
		return errors.New("room: expected the number of a waiting room")
	}
	u, err := url.Parse(s.URL)
	if gatekeeper.Safe(s.URL) || err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.Fragment == "" {
		return nil
	}
	return errors.New("url: expected https://site.example/path, or a path")
}

// site is a Site as it is used.
type site struct {
	url  *url.URL
	text string
}

// sitesOf finds the sites by room.
func sitesOf(list []Site) (map[int64]site, error) {
	if len(list) > maxSites {
		return nil, fmt.Errorf("sites: expected at most %d, got %d", maxSites, len(list))
	}
	sites := make(map[int64]site, len(list))
	for _, s := range list {
		u, err := url.Parse(s.URL)
		if err == nil {
			err = s.Validate()
		}
		if _, twice := sites[s.Room]; err == nil && twice {
			err = errors.New("room: expected one site for each room")
		}
		if err != nil {
			return nil, fmt.Errorf("sites: room %d: %w", s.Room, err)
		}
		sites[s.Room] = site{u, s.URL}
	}
	return sites, nil
}

// remember keeps where on the room's site a visitor wants to go, if the request says so.
func (e *Edge) remember(ctx *fasthttp.RequestCtx, room Room) {
	to := string(ctx.QueryArgs().Peek(gatekeeper.ParamReturn))
	if _, protected := e.sites[room.ID]; !protected || !gatekeeper.Safe(to) {
		return
	}
	e.cookie(ctx, roomCookie(CookieReturn, room.ID), url.QueryEscape(to), returnLife)
}

// next is where a visitor goes who has a pass: to the room's site, and there to the page they came from. A site under
// another name cannot read our cookies, so the pass goes with them, once.
func (e *Edge) next(ctx *fasthttp.RequestCtx, room Room, pass string) string {
	site, protected := e.sites[room.ID]
	if !protected {
		return room.Next
	}
	to := *site.url
	if page, err := url.ParseRequestURI(goal(ctx, room.ID)); err == nil {
		to.Path, to.RawPath, to.RawQuery = page.Path, page.RawPath, page.RawQuery
	}
	if to.Host != "" {
		if to.RawQuery != "" {
			to.RawQuery += "&"
		}
		to.RawQuery += gatekeeper.ParamPass + "=" + pass
	}
	return to.String()
}

// goal is what remember kept, or what this very request says; empty for nothing that can be used.
func goal(ctx *fasthttp.RequestCtx, room int64) string {
	to := string(ctx.QueryArgs().Peek(gatekeeper.ParamReturn))
	if to == "" {
		to, _ = url.QueryUnescape(web.Cookie(ctx, roomCookie(CookieReturn, room))) // unreadable is as good as none
	}
	if !gatekeeper.Safe(to) {
		return ""
	}
	return to
}
