package admin_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"fairgate/admin"
	"fairgate/internal/store"
	"fairgate/waitingroom/page"
)

const sun = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><circle cx="24" cy="24" r="20" fill="#ffb000"/></svg>`

// stylist is a dashboard by which rooms get their looks, checked by the page itself.
func stylist(_ *admin.Config, d *admin.Deps) {
	d.Looks = admin.Looks{
		Languages: []admin.Language{{Tag: "en", Name: "English"}, {Tag: "vi", Name: "Tiếng Việt"}},
		Check: func(brand []byte, name string, logo []byte) error {
			_, err := page.ParseBrand(brand, name, logo)
			return err
		},
	}
}

// upload sends the page's form with a file.
func (w *world) upload(path, name, content string) reply {
	w.t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	if name != "" {
		part, err := form.CreateFormFile("logo", name)
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = part.Write([]byte(content)) // a bytes.Buffer takes everything
	}
	_ = form.Close()
	return w.do("POST", path, form.FormDataContentType(), b.String(), "Accept", "text/html", "Sec-Fetch-Site", "same-origin", "Origin", w.server.URL)
}

func TestLook_WordsColoursAndLogoAreSetByForms(t *testing.T) {
	w := newWorld(t, stylist).user(operator, store.RoleOperator)
	room := w.createRoom(nil)
	look := fmt.Sprintf("/rooms/%d/look", room)
	w.want(303, w.form(look, url.Values{"words.0.lang": {""}, "words.0.title": {"Summer <Festival>"}, "words.0.text": {"One\r\n\r\nTwo"},
		"words.1.lang": {"vi"}, "words.1.title": {"Lễ hội Mùa Hè"}, "light.accent": {"#b00020"}, "light.background": {""}}))
	w.want(303, w.upload(look+"/logo", "Our Sun.SVG", sun))
	kept, err := w.db.Look(t.Context(), room)
	if err != nil || kept.LogoName != "Our Sun.SVG" || string(kept.Logo) != sun {
		t.Fatalf("%v %+v", err, kept)
	}
	for _, part := range []string{`"vi":"Lễ hội Mùa Hè"`, `"":"One\n\nTwo"`, `"accent":"#b00020"`} {
		if !strings.Contains(string(kept.Brand), part) {
			t.Errorf("%s is not in %s", part, kept.Brand)
		}
	}
	if _, err := page.ParseBrand(kept.Brand, kept.LogoName, kept.Logo); err != nil {
		t.Error(err)
	}
	shown := string(w.want(200, w.do("GET", look, "", "", "Accept", "text/html")).body)
	for _, part := range []string{`value="Summer &lt;Festival&gt;"`, `value="Lễ hội Mùa Hè"`, "Our Sun.SVG", `value="#b00020"`} {
		if !strings.Contains(shown, part) {
			t.Errorf("the page does not show %s", part)
		}
	}
	before, err := w.db.LookRevisions(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	w.want(303, w.upload(look+"/logo", "", ""))
	after, err := w.db.LookRevisions(t.Context(), 10)
	if kept, _ := w.db.Look(t.Context(), room); err != nil || kept.LogoName != "" || len(kept.Logo) != 0 || !strings.Contains(string(kept.Brand), "Mùa") {
		t.Errorf("without its logo: %v %+v", err, kept)
	}
	if before[room] == 0 || after[room] <= before[room] {
		t.Errorf("revisions %v, then %v", before, after)
	}
	w.want(303, w.form(look+"/plain", nil))
	if r := w.want(200, w.api("/api"+look, nil)); r.json["set"] != false {
		t.Errorf("%s", r.body)
	}
}

func TestLook_WhatThePageDoesNotTakeIsRefusedByKey(t *testing.T) {
	w := newWorld(t, stylist).user(operator, store.RoleOperator)
	look := fmt.Sprintf("/api/rooms/%d/look", w.createRoom(nil))
	words := func(word m) m { return m{"words": []m{word}} }
	for name, c := range map[string]struct {
		path string
		body m
		key  string
	}{
		"a colour":         {look, m{"light": m{"accent": "red"}}, "light.accent"},
		"a dark colour":    {look, m{"dark": m{"text": "#12"}}, "dark.text"},
		"a long title":     {look, words(m{"title": strings.Repeat("ü", 101)}), "title"},
		"a long text":      {look, words(m{"text": strings.Repeat("a", 2001)}), "text"},
		"no language":      {look, words(m{"lang": "../x", "title": "a"}), "title"},
		"a language twice": {look, m{"words": []m{{"lang": "en"}, {"lang": "en"}}}, "words.1.lang"},
		"a script":         {look + "/logo", m{"name": "a.js", "data": "eA=="}, "logo"},
		"a large logo":     {look + "/logo", m{"name": "a.png", "data": base64.StdEncoding.EncodeToString(make([]byte, 33<<10))}, "logo"},
		"an empty logo":    {look + "/logo", m{"name": "a.png", "data": ""}, "logo"},
		"no base64":        {look + "/logo", m{"name": "a.png", "data": "?"}, "data"},
	} {
		if r := w.want(422, w.api(c.path, c.body)); r.text("key") != c.key || r.text("expected") == "" {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	w.want(404, w.api("/api/rooms/99/look", m{}))
	w.want(422, w.upload(strings.TrimPrefix(look, "/api")+"/logo", "a.png", strings.Repeat("x", 200<<10)))
	if all, err := w.db.LookRevisions(t.Context(), 10); err != nil || len(all) != 0 {
		t.Errorf("kept %v %v", all, err)
	}
}
