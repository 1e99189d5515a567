package botguard

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"fairgate/botguard/risk"
	"fairgate/internal/sale"
)

// MaxRulings is how many different rulings a Guard keeps until they are taken. Of further ones only the number is known.
const MaxRulings = 2_000

// MaxCodes is how many appeal codes are kept until rulings are taken. A refusal beyond that counts without its code, which only
// the log has then.
const MaxCodes = 10

// rulings are those not taken yet.
type rulings struct {
	mu    sync.Mutex
	kept  map[rulingKey]*sale.Ruling
	codes int   // how many of them have one
	lost  int64 // times of those that found no room
}

// rulingKey is what makes rulings alike: which rules held says the score too.
type rulingKey struct {
	room    int64
	action  string
	held    risk.Held
	outcome risk.Kind
	code    string
}

// note counts a ruling; reasons is asked only for the first of its like.
func (r *rulings) note(k rulingKey, like sale.Ruling, reasons func() []string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.kept[k]
	if v == nil && k.code != "" && r.codes >= MaxCodes {
		k.code = ""
		v = r.kept[k]
	}
	switch {
	case v == nil && len(r.kept) >= MaxRulings:
		r.lost++
		return
	case v == nil:
		like.Room, like.Action, like.Outcome, like.AppealCode, like.First = k.room, k.action, string(k.outcome), k.code, now.UnixMicro()
		like.Reasons = reasons()
		v = &like
		if r.kept == nil {
			r.kept = make(map[rulingKey]*sale.Ruling)
		}
		r.kept[k] = v
		if k.code != "" {
			r.codes++
		}
	}
	v.Times++
	v.Last = now.UnixMicro()
}

// Rulings takes what was noted since the last call: every ruling for which at least one rule held, the oldest first, and how
// many requests found no room among them. Whoever keeps them can show why somebody was treated as they were.
func (g *Guard) Rulings() (list []sale.Ruling, lost int64) {
	r := &g.rulings
	r.mu.Lock()
	kept := r.kept
	lost, r.kept, r.codes, r.lost = r.lost, nil, 0, 0
	r.mu.Unlock()
	for _, v := range kept {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b sale.Ruling) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.AppealCode, b.AppealCode))
	})
	return list, lost
}
