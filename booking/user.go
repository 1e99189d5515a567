package booking

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

// userInPath is the user that a path names, if the caller may act for them.
func (a *API) userInPath(ctx *fasthttp.RequestCtx) (string, error) {
	user, err := web.PathParam(ctx, "id")
	if err != nil {
		return "", err
	}
	if sale.CheckSubject(user) != nil {
		return "", web.BadRequest("id", "a user id")
	}
	return a.acting(ctx, user)
}

// ofUser is the handler of a list that belongs to the user whom the path names, page by page.
func ofUser[V any](a *API, page func(*fasthttp.RequestCtx, string, query) (views []V, next string, err error)) web.Handler {
	return func(ctx *fasthttp.RequestCtx) error {
		user, err := a.userInPath(ctx)
		if err != nil {
			return err
		}
		q, err := queryOf(ctx, "limit", "cursor")
		if err != nil {
			return err
		}
		views, next, err := page(ctx, user, q)
		if err != nil {
			return err
		}
		linkNext(ctx, next)
		return web.WriteJSON(ctx, fasthttp.StatusOK, views)
	}
}

// bookingsOf are GET /users/{id}/bookings, newest first.
func (a *API) bookingsOf(ctx *fasthttp.RequestCtx, user string, q query) (views []bookingView, next string, err error) {
	limit, err := q.limit()
	if err != nil {
		return nil, "", err
	}
	var after store.PageCursor
	at, id, err := q.cursor()
	if err != nil {
		return nil, "", err
	}
	if at != "" {
		if after.At, err = time.Parse(time.RFC3339Nano, at); err != nil {
			return nil, "", badCursor()
		}
		if _, err := sale.ParseUUID(id); err != nil {
			return nil, "", badCursor()
		}
		after.ID = id
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	found, err := a.deps.Store.UserBookings(request, user, after, limit)
	if err != nil {
		return nil, "", err
	}
	if len(found) == limit {
		last := found[limit-1]
		next = cursorOf(last.Created.UTC().Format(time.RFC3339Nano), last.ID.String())
	}
	views = make([]bookingView, len(found))
	for i, b := range found {
		// What the log said since is newer than the projection.
		if now, ok := a.recent.booking([16]byte(b.ID)); ok && now.LastSeq > b.LastSeq {
			b = now
		}
		e, err := a.events.event(request, b.Event)
		if err != nil {
			return nil, "", err
		}
		views[i] = viewOf(b, &e)
	}
	return views, next, nil
}

// notificationView is a notification in JSON.
type notificationView struct {
	ID        int64           `json:"id"`
	Kind      string          `json:"kind"`
	EventID   int64           `json:"eventId,omitzero"`
	BookingID string          `json:"bookingId,omitempty"`
	Data      json.RawMessage `json:"data"`
	CreatedAt time.Time       `json:"createdAt"`
	ReadAt    *time.Time      `json:"readAt"`
}

// notificationsOf are GET /users/{id}/notifications, newest first.
func (a *API) notificationsOf(ctx *fasthttp.RequestCtx, user string, q query) (views []notificationView, next string, err error) {
	limit, err := q.limit()
	if err != nil {
		return nil, "", err
	}
	var before int64
	if first, second, err := q.cursor(); err != nil {
		return nil, "", err
	} else if first != "" {
		if before, err = sale.ParseID(second); err != nil || first != "n" {
			return nil, "", badCursor()
		}
	}
	request, cancel := web.RequestContext(ctx)
	defer cancel()
	found, err := a.deps.Store.UserNotifications(request, user, before, limit)
	if err != nil {
		return nil, "", err
	}
	if len(found) == limit {
		next = cursorOf("n", strconv.FormatInt(found[limit-1].ID, 10))
	}
	views = make([]notificationView, len(found))
	for i, n := range found {
		views[i] = notificationView{ID: n.ID, Kind: n.Kind, EventID: n.Event, Data: n.Data, CreatedAt: n.Created.UTC()}
		if !n.Booking.IsZero() {
			views[i].BookingID = n.Booking.String()
		}
		if !n.Read.IsZero() {
			at := n.Read.UTC()
			views[i].ReadAt = &at
		}
	}
	return views, next, nil
}
