package gatekeeper_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"fairgate/waitingroom/gatekeeper"
)

// A shop that Fairgate does not own keeps its sale for admitted visitors. Whoever has no pass is sent to wait, and comes
// back to the very page.
func Example() {
	g, err := gatekeeper.New(gatekeeper.Config{Room: 7, WaitingRoom: "https://wait.example"}, gatekeeper.Deps{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer g.Close()

	sale := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := gatekeeper.Admitted(r.Context()); ok {
			fmt.Fprintf(w, "welcome from place %s\n", a.Place)
		}
	})
	mux := http.NewServeMux()
	mux.Handle("/sale/", g.Protect(sale))

	shop := httptest.NewServer(mux) // in real life: http.ListenAndServe
	defer shop.Close()

	visitor := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	request, _ := http.NewRequest(http.MethodGet, shop.URL+"/sale/front-row?seats=2", nil)
	request.Header.Set("Accept", "text/html")
	answer, err := visitor.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer answer.Body.Close()
	fmt.Println(answer.StatusCode, answer.Header.Get("Location"))
	// Output: 303 https://wait.example/rooms/7?return=%2Fsale%2Ffront-row%3Fseats%3D2
}
