package booking_test

import (
	"strings"
	"testing"
	"time"

	"fairgate/internal/payment"
	"fairgate/internal/payment/paytest"
)

func TestRefund_ByTheFanOnlyAsThePolicyLetsThem(t *testing.T) {
	w := newWorld(t)
	b := w.want(201, "POST", "/booking", bodyOf("fan-1", concert, `,"items":[{"ticketType":1,"quantity":2}]`))
	id := b.text("id")
	w.eventually("the hold is projected", func() bool {
		return paytest.One[int](w.World, `SELECT count(*) FROM bookings WHERE id::text = $1`, id) == 1
	})
	r := w.want(201, "POST", "/pay", bodyOf("fan-1", concert, `,"amount":"`+b.text("total")+`"`))
	w.Pay(payment.Receipt{PayURL: r.text("payUrl")}, "pay")
	w.want(303, "GET", "/booking/"+id+"/paid", "")
	w.eventually("it is confirmed", func() bool {
		return paytest.One[string](w.World, `SELECT status FROM bookings WHERE id::text = $1`, id) == "confirmed"
	})
	if got := w.want(409, "POST", "/booking/"+id+"/refund", `{"tickets":[0]}`); got.text("type") != "/problems/not-refundable" {
		t.Errorf("%v", got.json)
	}
	w.Exec(`UPDATE events SET starts_at = now() + interval '30 days'`)
	if err := w.DB.SetRefundPolicy(t.Context(), concert, 24*time.Hour, false); err != nil {
		t.Fatal(err)
	}
	page := w.want(200, "GET", "/booking/"+id, "", "Accept", "text/html")
	if !strings.Contains(string(page.body), "Give back all 2 tickets") || !strings.Contains(string(page.body), "the booking fee is not returned") || !strings.Contains(string(page.body), "/documents") {
		t.Errorf("the page offers nothing back:\n%s", string(page.body))
	}
	w.want(422, "POST", "/booking/"+id+"/refund", `{"tickets":[-1]}`)
	first := w.want(200, "POST", "/booking/"+id+"/refund", `{"tickets":[1]}`, "Idempotency-Key", "one")
	again := w.want(200, "POST", "/booking/"+id+"/refund", `{"tickets":[1]}`, "Idempotency-Key", "one")
	if first.text("id") != again.text("id") {
		t.Error("the same key made another refund")
	}
	w.eventually("one ticket is refunded, its fee kept", func() bool {
		return paytest.One[bool](w.World, `SELECT count(*) = 1 AND sum(retained) > 0 FROM refunds`)
	})
	// As the page's button does it.
	w.want(303, "POST", "/booking/"+id+"/refund", "tickets%5B0%5D=0", "Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html")
	w.eventually("the rest is refunded", func() bool {
		return paytest.One[string](w.World, `SELECT status FROM bookings WHERE id::text = $1`, id) == "refunded"
	})
	w.want(409, "POST", "/booking/"+id+"/refund", ``)
	w.want(200, "GET", "/booking/"+id+"/documents", "")
	w.want(200, "GET", "/booking/"+id+"/documents", "", "Accept", "text/html")
}
