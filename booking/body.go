package booking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// userID is a user id in a request: a string, or a whole number, which stands for its decimal string.
type userID string

// UnmarshalJSON reads "alice" or 42.
func (u *userID) UnmarshalJSON(data []byte) error {
	const expected = web.ExpectedError("a user id: a string or a whole number")
	if bytes.Equal(data, []byte("null")) {
		return nil
	}
	var text string
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return expected
		}
	} else if text = string(data); strings.Trim(text, "0123456789") != "" || len(text) > 1 && text[0] == '0' || len(text) > 20 {
		return expected
	}
	*u = userID(text)
	return nil
}

// bookRequest is the body of POST /booking.
type bookRequest struct {
	UserID   userID            `json:"userId"`
	EventID  web.Int64OrString `json:"eventId"`
	Items    []bookItem        `json:"items"`
	Waitlist bool              `json:"waitlist"`
}

type bookItem struct {
	TicketType web.Int64OrString `json:"ticketType"`
	Quantity   int64             `json:"quantity"`
}

// lines checks the items: what is wrong with them whatever the event.
func (r *bookRequest) lines(form bool) ([]wire.Line, error) {
	var lines []wire.Line
	for i, item := range r.Items {
		key := fmt.Sprintf("items[%d].", i)
		switch {
		case form && item.Quantity == 0:
			continue // a page lists every type and leaves most at none
		case item.TicketType < 1 || item.TicketType > 1<<31-1:
			return nil, web.Unprocessable(key+"ticketType", "a ticket type of this event")
		case item.Quantity < 1 || item.Quantity > sale.MaxQuantity:
			return nil, web.Unprocessable(key+"quantity", fmt.Sprintf("a number from 1 to %d", sale.MaxQuantity))
		}
		lines = append(lines, wire.Line{Type: uint32(item.TicketType), Quantity: uint16(item.Quantity)})
	}
	if len(lines) > sale.MaxLines {
		return nil, web.Unprocessable("items", fmt.Sprintf("at most %d items", sale.MaxLines))
	}
	if form && len(r.Items) > 0 && len(lines) == 0 {
		return nil, web.Unprocessable("items", "at least one ticket")
	}
	return lines, nil
}

// payRequest is the body of POST /pay.
type payRequest struct {
	UserID    userID            `json:"userId"`
	EventID   web.Int64OrString `json:"eventId"`
	Amount    string            `json:"amount"`
	BookingID string            `json:"bookingId"`
}

// event reads an event for a request; a 404 problem if there is none.
func (a *API) event(ctx context.Context, id int64) (store.Event, error) {
	if id <= 0 {
		return store.Event{}, web.Unprocessable("eventId", "the id of an event")
	}
	e, err := a.events.event(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return e, kind(web.NotFound("The address may be mistyped, or the event was removed."), "unknown-event", "No such event")
	}
	return e, err
}

// isForm says whether the body is a page's form.
func isForm(ctx *fasthttp.RequestCtx) bool {
	media, _, _ := strings.Cut(string(ctx.Request.Header.ContentType()), ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded")
}

// sameSite refuses what another site made a browser send: its cookies would speak for the user. Browsers say where a
// request comes from; other clients say nothing and have nothing to be tricked with.
func (a *API) sameSite(ctx *fasthttp.RequestCtx) error {
	switch string(ctx.Request.Header.Peek("Sec-Fetch-Site")) {
	case "same-origin", "none":
		return nil
	case "":
	default:
		return foreign()
	}
	origin := string(ctx.Request.Header.Peek(fasthttp.HeaderOrigin))
	if origin == "" {
		return nil
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return foreign()
	}
	if u.Host == string(ctx.Host()) {
		return nil
	}
	if public, err := url.Parse(a.cfg.PublicURL); err == nil && public.Host == u.Host {
		return nil
	}
	return foreign()
}

func foreign() error {
	return kind(web.Forbidden("This request was sent by another site."), "foreign-origin", "Sent by another site")
}

// idempotencyKey is the caller's key, empty if none was sent.
func idempotencyKey(ctx *fasthttp.RequestCtx) (string, error) {
	all := ctx.Request.Header.PeekAll("Idempotency-Key")
	if len(all) == 0 {
		return "", nil
	}
	key := string(all[0])
	printable := strings.IndexFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e }) < 0
	if len(all) > 1 || key == "" || len(key) > MaxIdempotencyKey || !printable {
		return "", web.BadRequest("Idempotency-Key", fmt.Sprintf("one key of 1 to %d printable ASCII characters", MaxIdempotencyKey))
	}
	return key, nil
}
