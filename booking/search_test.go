package booking_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"fairgate/internal/embedded/testredis"
)

func (w *world) find(query string) (ids []int64, r reply) {
	w.t.Helper()
	r = w.want(200, "GET", "/events/"+query, "")
	var list []struct {
		ID int64 `json:"id"`
	}
	if err := json.Unmarshal(r.body, &list); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids, r
}

func TestSearch_FindsNamesWhateverTheAccents(t *testing.T) {
	w := newWorld(t)
	for query, want := range map[string][]int64{
		"":                       {concert, guarded, gone},
		"?search=ha noi":         {concert},
		"?search=HÀ NỘI":         {concert},
		"?name=bjork":            {guarded},
		"?search=noi tung":       {concert}, // order does not matter
		"?search=ha&name=tung":   {concert},
		"?search=isl":            {guarded}, // the beginning of the last word
		"?search=land":           nil,
		"?search=tiny desk":      {gone},
		"?search=bjork noi":      nil,
		"?search=!!!":            nil,
		"?search=' | desk":       {gone}, // what means something to a query is only text here
		"?search=a:* & !b <->":   nil,
		"?search=\u0149":         {concert}, // becomes an apostrophe and a letter that begins a word
		"?search=\\":             nil,
		"?search=  desk  ":       {gone},
		"?start_date=2027-07-05": {guarded, gone},
		// The Hà Nội concert begins on the 5th, local time; the Iceland one lasts from 4 to 6 July.
		"?start_date=2027-06-05&end_date=2027-06-05": {concert},
		"?start_date=2027-06-04&end_date=2027-06-04": nil,
		"?start_date=2027-07-06&end_date=2027-07-06": {guarded},
		"?end_date=2027-06-30":                       {concert},
	} {
		values, path := url.Values{}, ""
		for pair := range strings.SplitSeq(strings.TrimPrefix(query, "?"), "&") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				values.Set(key, value)
			}
		}
		if query == "?search=a:* & !b <->" {
			values = url.Values{"search": {"a:* & !b <->"}}
		}
		if len(values) > 0 {
			path = "?" + values.Encode()
		}
		if ids, r := w.find(path); !slices.Equal(ids, want) {
			t.Errorf("%s: found %v, want %v: %s", query, ids, want, r.body)
		}
	}
}

func TestSearch_CursorWalksThroughAll(t *testing.T) {
	w := newWorld(t)
	var all []int64
	for path := "?limit=1"; path != ""; {
		ids, r := w.find(path)
		all = append(all, ids...)
		path = strings.TrimPrefix(next(r), "/events/")
	}
	if !slices.Equal(all, []int64{concert, guarded, gone}) {
		t.Errorf("walked %v", all)
	}
}

func TestSearch_IsCachedAndNeverFailsWithTheCache(t *testing.T) {
	server := testredis.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	w := newWorld(t, func(w *world) { w.redis = client })
	w.find("?search=desk")
	keys, err := client.Keys(t.Context(), "fg:events:*").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys %v, %v", keys, err)
	}
	if ttl := client.PTTL(t.Context(), keys[0]).Val(); ttl <= 0 {
		t.Errorf("the cached page lives %s", ttl)
	}
	w.Exec(`UPDATE events SET name = 'Elsewhere' WHERE id = $1`, gone)
	if ids, _ := w.find("?search=%20DESK"); len(ids) != 1 {
		t.Error("an equal search was not answered from the cache")
	}
	if err := client.Set(t.Context(), keys[0], "rubbish", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if ids, _ := w.find("?search=desk"); len(ids) != 0 {
		t.Error("rubbish in the cache was believed")
	}
	server.Kill()
	if ids, _ := w.find("?search=elsewhere"); len(ids) != 1 {
		t.Error("nothing was found without the cache")
	}
}

func TestEvent_SaysWhatIsLeftAndWhatItCosts(t *testing.T) {
	w := newWorld(t)
	r := w.want(200, "GET", fmt.Sprintf("/events/%d", concert), "")
	types := r.json["ticketTypes"].([]any)
	seat := types[1].(map[string]any)
	if r.text("status") != "onSale" || r.text("priceFrom") != "26.50" || seat["total"] != "73.80" || seat["left"] != 4.0 {
		t.Errorf("answered %s", r.body)
	}
	r = w.want(200, "GET", fmt.Sprintf("/events/%d", guarded), "")
	if fmt.Sprint(r.json["room"]) != "map[id:9 url:/rooms/9]" {
		t.Errorf("answered %s", r.body)
	}
	w.want(201, "POST", "/booking", bodyOf("alice", gone, ""))
	w.eventually("sold out", func() bool { return w.call("GET", fmt.Sprintf("/events/%d", gone), "").text("status") == "soldOut" })
}
