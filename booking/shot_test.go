package booking_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"fairgate/internal/payment"
	"fairgate/internal/web"
)

// TestShots draws the pages for somebody to look at; it runs only where FAIRGATE_TEST_SHOTS names a folder.
func TestShots(t *testing.T) {
	dir := os.Getenv("FAIRGATE_TEST_SHOTS")
	if dir == "" {
		t.Skip("FAIRGATE_TEST_SHOTS is not set")
	}
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := web.NewServer(web.Config{}, web.ServerDeps{Handler: w.router.Handler})
	w.run("pages", func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	cookie := w.guestCookie()
	held := w.want(201, "POST", "/booking", `{"eventId":101,"items":[{"ticketType":1,"quantity":2},{"ticketType":2,"quantity":1}]}`, "Cookie", cookie).text("id")
	w.want(201, "POST", "/booking", bodyOf("other", gone, ""))
	sold := w.want(201, "POST", "/booking", bodyOf("buyer", concert, ""))
	p := w.want(201, "POST", "/pay", bodyOf("buyer", concert, `,"amount":"26.50"`))
	w.Pay(payment.Receipt{PayURL: p.text("payUrl")}, "pay")
	w.want(303, "GET", "/booking/"+sold.text("id")+"/paid", "")
	w.eventually("tickets", func() bool {
		return w.call("GET", "/booking/"+sold.text("id"), "").json["tickets"] != nil
	})
	w.Exec(`UPDATE events SET starts_at = now() + interval '30 days', refund_until_seconds = 86400 WHERE id = $1`, concert)
	w.eventually("sold out", func() bool { return w.call("GET", "/events/103", "").text("status") == "soldOut" })
	w.oneBookingPerCard()
	other := w.turnedAway("fan")
	// Chromium sends no cookie of ours, and without one a demo shows everybody's booking.
	for name, path := range map[string]string{
		"home": "/", "event": "/events/101", "guarded": "/events/102", "soldout": "/events/103", "held": "/booking/" + held,
		"othercard": "/booking/" + other, "confirmed": "/booking/" + sold.text("id"), "documents": "/booking/" + sold.text("id") + "/documents", "me": "/me", "problem": "/booking/0197f1d0-0000-7000-8000-000000000000",
	} {
		for size, flags := range map[string][]string{
			"phone": {"--window-size=500,1500"}, "dark": {"--window-size=900,1300", "--blink-settings=preferredColorScheme=0"},
		} {
			args := append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
				"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
				"--user-data-dir=" + t.TempDir(), "--screenshot=" + filepath.Join(dir, name+"-"+size+".png")}, flags...)
			out, err := exec.CommandContext(t.Context(), "chromium", append(args, "http://"+ln.Addr().String()+path)...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v: %s", name, err, out)
			}
			if s := string(out); strings.Contains(s, "Content Security Policy") {
				t.Errorf("%s: %s", name, s)
			}
		}
	}
}
