package booking

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/receipt"
	"fairgate/internal/store"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

// ReceiptKeysPath is where the public keys of receipts are (RFC 7517).
const ReceiptKeysPath = "/.well-known/receipt-keys.json"

// receiptKeys is GET /.well-known/receipt-keys.json.
func (a *API) receiptKeys(ctx *fasthttp.RequestCtx) error {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "public, max-age=300")
	ctx.SetContentType("application/jwk-set+json")
	ctx.SetBody(a.deps.Receipts.JWKS())
	return nil
}

// receiptOf is a booking's receipt, or nil at this moment: a booking is shown without one rather than not at all.
func (a *API) receiptOf(ctx context.Context, b *store.Booking) *receipt.Signed {
	signed, err := a.receipts.of(ctx, b)
	if err != nil {
		a.metrics.receipts.WithLabelValues("missing").Inc()
		a.complain(ctx, b, err)
		return nil
	}
	a.metrics.receipts.WithLabelValues("signed").Inc()
	return &signed
}

// complain logs what an operator must look at. That the log cannot be read is said elsewhere, often enough.
func (a *API) complain(ctx context.Context, b *store.Booking, err error) {
	if errors.Is(err, errOtherRecord) || errors.Is(err, receipt.ErrNoKey) {
		a.deps.Log.ErrorContext(ctx, "no receipt can be signed", "booking", b.ID.String(), "error", err)
	}
}

// headOver is the head that closes over a booking; nil before it is projected, or while Postgres is away.
func (a *API) headOver(ctx context.Context, b *store.Booking) *receipt.Head {
	h, err := a.deps.Store.ChainHead(ctx, b.Partition, b.Offset)
	if err != nil {
		return nil
	}
	return &receipt.Head{Offset: h.Offset, Chain: h.Chain, Seq: h.Seq, At: h.At}
}

// showReceipt is GET /booking/{id}/receipt: what a fan keeps. With ?download=1 a browser saves it.
func (a *API) showReceipt(ctx *fasthttp.RequestCtx, request context.Context, b store.Booking) error {
	q, err := queryOf(ctx, "download")
	if err != nil {
		return err
	}
	signed := a.receiptOf(request, &b)
	if signed == nil {
		return kind(web.Unavailable(retrySoon), "no-receipt", "No receipt now").
			Because("The log cannot be read at this moment. Your booking stands; please ask for its receipt again shortly.")
	}
	d := receipt.Document{Receipt: *signed, Chain: a.headOver(request, &b)}
	if d.Closed = d.Chain != nil; !d.Closed {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "1")
	}
	if q["download"] != "" {
		ctx.Response.Header.Set(fasthttp.HeaderContentDisposition, `attachment; filename="fairgate-receipt-`+b.ID.String()+`.json"`)
	}
	return web.WriteJSON(ctx, fasthttp.StatusOK, d)
}

// paper is a receipt as its page shows it. Hashes are hex.
type paper struct {
	Text, Record, Seal string
	Offset             int64
	KeyID              uint32
	Waiting            bool // it began on the waitlist
	Sealed             bool
	SealedBy           int64 // offset of the tick
	SealedAt           time.Time
}

func paperOf(s *receipt.Signed, head *receipt.Head) *paper {
	if s == nil {
		return nil
	}
	p := &paper{
		Text: s.Text(), Record: hex.EncodeToString(s.Record[:]), Offset: s.Offset, KeyID: s.KeyID,
		Waiting: s.Outcome == wire.KindWaitlisted,
	}
	if head != nil {
		p.Sealed, p.SealedBy, p.SealedAt, p.Seal = true, head.Offset, time.UnixMicro(head.At), hex.EncodeToString(head.Chain[:])
	}
	return p
}
