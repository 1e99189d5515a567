package admin

import (
	"net/http"
	"regexp"
	"strings"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

const (
	// checksAge is how far back the checks of a room are summed up.
	checksAge = 24 * time.Hour
	// maxChecks is how many kinds of them are shown.
	maxChecks = 100
)

// checksView says what the bot guard's rules made of a room's visitors, and why.
type checksView struct {
	Since  time.Time   `json:"since"`
	Checks []checkView `json:"checks"` // the most frequent first
	Code   string      `json:"code,omitempty"`
	Found  []checkView `json:"found,omitempty"` // what the code stands for; absent if it was not kept
}

// checkView is one ruling, of as many requests.
type checkView struct {
	Action  string    `json:"action"`  // arrive or join
	Outcome string    `json:"outcome"` // allow, price, lane or refuse
	Factor  int       `json:"factor"`  // of the price
	Score   int       `json:"score"`
	Reasons []string  `json:"reasons"`
	Times   int64     `json:"times"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

func viewChecks(list []sale.Ruling) []checkView {
	views := make([]checkView, len(list))
	for i, r := range list {
		views[i] = checkView{
			Action: r.Action, Outcome: r.Outcome, Factor: r.Factor, Score: r.Score, Reasons: r.Reasons, Times: r.Times,
			First: time.UnixMicro(r.First).UTC(), Last: time.UnixMicro(r.Last).UTC(),
		}
	}
	return views
}

// Rules are the reasons without the sum at the end.
func (v checkView) Rules() []string { return v.Reasons[:max(len(v.Reasons)-1, 0)] }

var appealCode = regexp.MustCompile(`^[A-Z2-7]{5}-[A-Z2-7]{5}$`)

// checks reads those of the room that a request names; the query's code, if there is one, is looked up too.
func (a *Admin) checks(r *http.Request, who actor) (room store.Room, v checksView, err error) {
	ctx := r.Context()
	if room, err = a.room(ctx, r, who); err != nil {
		return room, v, err
	}
	v.Since = a.deps.Clock().Add(-checksAge).UTC().Truncate(time.Second)
	v.Code = strings.ToUpper(strings.TrimSpace(r.URL.Query().Get("code")))
	if v.Code != "" && !appealCode.MatchString(v.Code) {
		return room, v, web.Unprocessable("code", "an appeal code such as ABCDE-23456")
	}
	list, err := a.deps.Store.Rulings(ctx, room.ID, v.Since, maxChecks)
	if err != nil {
		return room, v, err
	}
	v.Checks = viewChecks(list)
	if v.Code == "" {
		return room, v, nil
	}
	found, err := a.deps.Store.RulingsByCode(ctx, room.ID, v.Code, maxChecks)
	v.Found = viewChecks(found)
	return room, v, err
}

func (a *Admin) checksPage(w http.ResponseWriter, r *http.Request, who actor) error {
	room, v, err := a.checks(r, who)
	if err != nil {
		return err
	}
	return a.page(w, r, "checks", who, struct {
		Room store.Room
		checksView
	}{room, v})
}

func (a *Admin) checksJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	_, v, err := a.checks(r, who)
	if err == nil {
		writeJSON(w, v)
	}
	return err
}
