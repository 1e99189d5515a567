package stripesim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func FuzzCreate_NeverAServerError(f *testing.F) {
	f.Add("amount=1000&currency=usd", "k")
	f.Add("amount=1000&currency=usd&confirm=true&payment_method=pm_card_visa&payment_method_types[]=card&expand[]=latest_charge", "")
	f.Add("amount=99999999999999999999&currency[]=x&metadata[]=&metadata[[a]]=b&expand[-9]=data", "k")
	f.Add("payment_method=pm_1S99xxxxxxxxxxxxxxxxxxxxxx&amount=50&currency=usd&confirm=true", "")
	f.Fuzz(func(t *testing.T, body, key string) {
		s, err := New(Config{SecretKey: secretKey, PublishableKey: publishableKey, PublicURL: "http://localhost:1"}, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+secretKey)
		r.Header.Set("Idempotency-Key", key)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzSearch_NeverPanics(f *testing.F) {
	f.Add("status:'succeeded' AND metadata['a']:'b'")
	f.Add("created>=1 and amount<5")
	f.Fuzz(func(t *testing.T, query string) {
		if match, err := parseSearch(query); err == nil {
			match(&Intent{})
		}
	})
}

func FuzzJournalLine_NeverPanics(f *testing.F) {
	f.Add([]byte(`{"pi":[{"id":"pi_1"}],"done":["evt_1"]}` + "\n"))
	f.Add([]byte(`{"evt":[{"id":"evt_1","pending":true}],"done":["evt_1"]}` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l line
		if decodeLine(raw, 2, !bytes.HasSuffix(raw, []byte("\n")), &l) == nil {
			st := newState(Config{MaxEvents: 10})
			st.apply(&l)
			st.apply(&l)
			st.restored()
			if _, err := json.Marshal(st.lines()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	for name, dir := range map[string]string{"memory": "", "journal": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			s, err := New(Config{
				SecretKey: secretKey, PublishableKey: publishableKey, PublicURL: "http://localhost:1", Rate: Rate{-1, -1}, Dir: dir,
			}, Deps{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			handler := s.Handler()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r := httptest.NewRequest(http.MethodPost, "/v1/payment_intents",
						strings.NewReader("amount=1000&currency=usd&capture_method=manual&metadata[booking]=b1"))
					r.Header.Set("Authorization", "Bearer "+secretKey)
					w := httptest.NewRecorder()
					handler.ServeHTTP(w, r)
					if w.Code != http.StatusOK {
						b.Error(w.Body)
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "creates/s")
		})
	}
}
