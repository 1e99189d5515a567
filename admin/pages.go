package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"fairgate/internal/sale"
	"fairgate/internal/store"
	"fairgate/internal/web"
)

//go:embed page
var pageFiles embed.FS

// pages are the dashboard's templates and files.
type pages struct{ byName map[string]*template.Template }

var pageNames = [...]string{"login", "home", "event", "newevent", "sale", "rooms", "room", "newroom", "look", "checks", "audit", "money", "receipts", "settings", "problem"}

func newPages() (*pages, error) {
	p := &pages{byName: map[string]*template.Template{}}
	for _, name := range pageNames {
		t, err := template.New("layout.html").Funcs(template.FuncMap{
			"num": groups[int], "count": groups[int64], "unsigned": groups[uint32], "in": inZone, "local": localInput,
			"wait": waitText, "percent": percentText, "colours": coloursOf, "ago": agoText, "words": words, "from": from, "counts": counts,
		}).ParseFS(pageFiles, "page/layout.html", "page/parts.html", "page/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		p.byName[name] = t
	}
	return p, nil
}

// frame is what every page shows around its content.
type frame struct {
	Who  actor
	Page string
	Here string // path of this page
	Done *auditView
	Data any
}

// show renders a page; nothing is sent before all of it is there.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, name string, who actor, data any) {
	p.render(w, status, name, frame{Who: who, Page: name, Here: r.URL.Path, Data: data})
}

func (p *pages) render(w http.ResponseWriter, status int, name string, f frame) {
	var b bytes.Buffer
	if err := p.byName[name].Execute(&b, f); err != nil {
		panic(fmt.Sprintf("page %s: %v", name, err)) // a programming error; the shell answers it
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone if this fails
}

// problemView is a problem for people.
type problemView struct {
	Problem *web.Problem
	Title   string
	Changes []change
	Now     *eventView
	Back    string
}

func (p *pages) problem(w http.ResponseWriter, r *http.Request, who actor, problem *web.Problem) {
	v := problemView{Problem: problem, Title: problem.Title, Back: "/"}
	if v.Title == "" {
		v.Title = http.StatusText(problem.Status)
	}
	v.Changes, _ = problem.Extra["changes"].([]change)
	if now, ok := problem.Extra["now"].(eventView); ok {
		v.Now = &now
	}
	if i := strings.LastIndex(r.URL.Path, "/"); r.Method == http.MethodPost && i > 0 {
		v.Back = r.URL.Path[:i]
	}
	if from := localPath(r.URL.Query().Get("from")); from != "/" {
		v.Back = from
	}
	p.show(w, r, problem.Status, "problem", who, v)
}

// asset serves one of our own files. They are small and change with the program, so browsers ask again.
func (p *pages) asset(w http.ResponseWriter, r *http.Request) {
	types := map[string]string{"style.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	name := r.PathValue("file")
	b, err := pageFiles.ReadFile("page/" + name)
	if err != nil || types[name] == "" {
		web.NotFound("There is no such file.").WriteHTTP(w)
		return
	}
	w.Header().Set("Content-Type", types[name])
	w.Header().Set("Cache-Control", "private, max-age=300")
	_, _ = w.Write(b)
}

// page shows a page to a user, with what was just done if they come from doing it.
func (a *Admin) page(w http.ResponseWriter, r *http.Request, name string, who actor, data any) error {
	f := frame{Who: who, Page: name, Here: r.URL.Path, Data: data}
	if id, err := sale.ParseID(r.URL.Query().Get("done")); err == nil {
		entries, err := a.deps.Store.Audit(r.Context(), store.AuditQuery{Organiser: who.scope(), ID: id, Limit: 1})
		if err != nil {
			return err
		}
		if views := viewAudit(entries); len(views) == 1 {
			f.Done = &views[0]
		}
	}
	a.pages.render(w, http.StatusOK, name, f)
	return nil
}

// homeRow is one event of the first page.
type homeRow struct {
	eventView
	Totals totals
	Room   string // its state
}

func (a *Admin) homePage(w http.ResponseWriter, r *http.Request, who actor) error {
	found, err := a.deps.Store.Events(r.Context(), who.scope(), listLimit)
	if err != nil {
		return err
	}
	rows := []homeRow{}
	for i := range found {
		row := homeRow{eventView: viewEvent(&found[i])}
		for _, t := range found[i].Types {
			row.Totals.Capacity += t.Capacity
			row.Totals.Held += t.Held
			row.Totals.Sold += t.Sold
			row.Totals.Free += t.Free
		}
		if doc, ok := a.documents.newest(found[i].Room); ok {
			row.Room = doc.State
		}
		rows = append(rows, row)
	}
	return a.page(w, r, "home", who, rows)
}

func (a *Admin) newEventPage(w http.ResponseWriter, r *http.Request, who actor) error {
	rooms, err := a.deps.Store.Rooms(r.Context(), who.scope(), listLimit)
	if err != nil {
		return err
	}
	return a.page(w, r, "newevent", who, struct {
		Rooms      []store.Room
		Rows       []int
		Partitions []int
	}{rooms, []int{0, 1, 2, 3}, upTo(a.deps.OrdersPartitions)})
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func (a *Admin) eventPage(w http.ResponseWriter, r *http.Request, who actor) error {
	e, err := a.event(r.Context(), r, who)
	if err != nil {
		return err
	}
	entries, err := a.deps.Store.Audit(r.Context(), store.AuditQuery{Organiser: who.scope(), Object: eventObject(e.ID), Limit: 8})
	if err != nil {
		return err
	}
	policy, err := a.deps.Store.RefundPolicy(r.Context(), e.ID)
	if err != nil {
		return err
	}
	return a.page(w, r, "event", who, struct {
		Event       eventView
		Row         store.Event
		Audit       []auditView
		Policy      store.RefundPolicy
		RefundHours int64
	}{viewEvent(&e), e, viewAudit(entries), policy, int64(policy.Until / time.Hour)})
}

func (a *Admin) salePage(w http.ResponseWriter, r *http.Request, who actor) error {
	e, err := a.event(r.Context(), r, who)
	if err != nil {
		return err
	}
	v, err := a.sale(r.Context(), &e)
	if err != nil {
		return err
	}
	return a.page(w, r, "sale", who, v)
}

func (a *Admin) roomsPage(w http.ResponseWriter, r *http.Request, who actor) error {
	found, err := a.deps.Store.Rooms(r.Context(), who.scope(), listLimit)
	if err != nil {
		return err
	}
	views := []roomView{}
	for i := range found {
		views = append(views, a.viewRoom(&found[i]))
	}
	return a.page(w, r, "rooms", who, views)
}

func (a *Admin) newRoomPage(w http.ResponseWriter, r *http.Request, who actor) error {
	return a.page(w, r, "newroom", who, upTo(a.deps.Partitions))
}

func (a *Admin) roomPage(w http.ResponseWriter, r *http.Request, who actor) error {
	room, err := a.room(r.Context(), r, who)
	if err != nil {
		return err
	}
	events, err := a.deps.Store.RoomEvents(r.Context(), room.ID)
	if err != nil {
		return err
	}
	entries, err := a.deps.Store.Audit(r.Context(), store.AuditQuery{Organiser: who.scope(), Object: roomObject(room.ID), Limit: 8})
	if err != nil {
		return err
	}
	return a.page(w, r, "room", who, struct {
		Room   roomView
		Row    store.Room
		Events []store.Event
		Audit  []auditView
	}{a.viewRoom(&room), room, events, viewAudit(entries)})
}

func (a *Admin) auditPage(w http.ResponseWriter, r *http.Request, who actor) error {
	q, err := auditQuery(r, who)
	if err != nil {
		return err
	}
	entries, err := a.deps.Store.Audit(r.Context(), q)
	if err != nil {
		return err
	}
	v := struct {
		Entries []auditView
		Object  string
		Older   int64
	}{viewAudit(entries), q.Object, 0}
	if len(entries) == q.Limit {
		v.Older = entries[len(entries)-1].ID
	}
	return a.page(w, r, "audit", who, v)
}

// roomFrom is a room's controls on the page that they come back to.
type roomFrom struct {
	Room *roomView
	From string
}

func from(room any, page string) roomFrom {
	switch r := room.(type) {
	case *roomView:
		return roomFrom{r, page}
	case roomView:
		return roomFrom{&r, page}
	}
	return roomFrom{&roomView{}, page}
}

// named are counts with what they count.
type named struct {
	Name string
	Rows []statusView
}

func counts(name string, rows []statusView) named { return named{name, rows} }

// groups writes a number with commas between groups of three digits.
func groups[T int | int64 | uint32](n T) string {
	s := fmt.Sprint(n)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// inZone writes an instant as the people there read it.
func inZone(t time.Time, zone string) string {
	place, err := time.LoadLocation(zone)
	if err != nil || zone == "" {
		place = time.UTC
	}
	return t.In(place).Format("Mon 2 Jan 2006, 15:04 MST")
}

// localInput is the value of a datetime-local field.
func localInput(t time.Time, zone string) string {
	place, err := time.LoadLocation(zone)
	if err != nil {
		place = time.UTC
	}
	return t.In(place).Format("2006-01-02T15:04")
}

// waitText is a range of seconds in words.
func waitText(low, high int64) string {
	switch {
	case low < 0 || high < 0:
		return "not known yet"
	case high < 60:
		return "under a minute"
	case low/60 == (high+59)/60:
		return fmt.Sprintf("about %d min", (high+59)/60)
	}
	return fmt.Sprintf("%d–%d min", low/60, (high+59)/60)
}

// colourField is one colour of a look, with the page's own.
type colourField struct{ Key, Label, Value, Own string }

// coloursOf are the fields of a scheme's colours.
func coloursOf(name string, c lookColours) any {
	own := [4]string{"#3a3ad6", "#f4f4f7", "#ffffff", "#17171c"}
	if name == "dark" {
		own = [4]string{"#9a9aff", "#111116", "#1b1b22", "#f1f1f5"}
	}
	return struct {
		Name string
		List []colourField
	}{name, []colourField{
		{"accent", "Buttons and progress", c.Accent, own[0]}, {"background", "Around the card", c.Background, own[1]},
		{"surface", "The card", c.Surface, own[2]}, {"text", "Text", c.Text, own[3]},
	}}
}

// percentText is a share, or that it is not known.
func percentText(n int64) string {
	if n < 0 {
		return "not known yet"
	}
	return fmt.Sprintf("%d %%", n)
}

func agoText(t time.Time) string { return t.UTC().Format("15:04:05") }

// words turns a name such as partly_refunded or soldOut into words.
func words(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '_' || c == '-':
			c = ' '
		case c >= 'A' && c <= 'Z':
			b.WriteByte(' ')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	return b.String()
}
