package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"

	"fairgate/internal/store"
	"fairgate/internal/web"
)

// maxLogoBody bounds a form with a logo in it; the page itself takes less.
const maxLogoBody = 128 << 10

// Looks is what the waiting page says of looks: which languages it speaks, and whether it takes a brand.
type Looks struct {
	Languages []Language
	// Check returns why the page does not take a brand (JSON) and a logo, as "key: expected …"; nil if it does.
	Check func(brand []byte, logoName string, logo []byte) error
}

// Language is one that the waiting page speaks: its tag, and its own name.
type Language struct{ Tag, Name string }

// lookBody is how a room's waiting page looks and what the organiser says on it. Everything may be empty.
type lookBody struct {
	Words []lookWords `json:"words"`
	Light lookColours `json:"light"`
	Dark  lookColours `json:"dark"`
}

// lookWords are texts in a language, or, without one, for everybody who reads no language that has texts of its own.
type lookWords struct {
	Lang    string `json:"lang"`
	Title   string `json:"title"`
	Text    string `json:"text"`
	LogoAlt string `json:"logoAlt"`
}

// lookColours are #rgb or #rrggbb.
type lookColours struct {
	Accent     string `json:"accent,omitempty"`
	Background string `json:"background,omitempty"`
	Surface    string `json:"surface,omitempty"`
	Text       string `json:"text,omitempty"`
}

// brandFile is a look as the waiting page reads it.
type brandFile struct {
	Title   map[string]string `json:"title,omitempty"`
	Text    map[string]string `json:"text,omitempty"`
	LogoAlt map[string]string `json:"logoAlt,omitempty"`
	Light   lookColours       `json:"light"`
	Dark    lookColours       `json:"dark"`
}

func (b *lookBody) brand() ([]byte, error) {
	f := brandFile{Title: map[string]string{}, Text: map[string]string{}, LogoAlt: map[string]string{}, Light: b.Light, Dark: b.Dark}
	seen := map[string]bool{}
	for i, w := range b.Words {
		if seen[w.Lang] {
			return nil, web.Unprocessable(fmt.Sprintf("words.%d.lang", i), "each language once")
		}
		seen[w.Lang] = true
		for _, t := range []struct {
			to   map[string]string
			text string
		}{{f.Title, w.Title}, {f.Text, w.Text}, {f.LogoAlt, w.LogoAlt}} {
			if text := strings.TrimSpace(strings.ReplaceAll(t.text, "\r\n", "\n")); text != "" {
				t.to[w.Lang] = text
			}
		}
	}
	return json.Marshal(f)
}

// lookView is a look as it is kept.
type lookView struct {
	lookBody
	Logo string `json:"logo,omitempty"` // name of its file
	Set  bool   `json:"set"`            // false: the page looks as it does by itself
}

// readLook is a room's look, with an entry for every language, empty where nothing is said.
func (a *Admin) readLook(ctx context.Context, room int64) (v lookView, kept store.Look, err error) {
	kept, err = a.deps.Store.Look(ctx, room)
	f := brandFile{}
	switch {
	case errors.Is(err, store.ErrNotFound):
		kept = store.Look{Brand: []byte("{}")}
	case err != nil:
		return v, kept, err
	default:
		v.Set = true
		if err := json.Unmarshal(kept.Brand, &f); err != nil {
			return v, kept, fmt.Errorf("the look of room %d: %w", room, err)
		}
	}
	v.Light, v.Dark, v.Logo = f.Light, f.Dark, kept.LogoName
	for _, l := range append([]Language{{}}, a.deps.Looks.Languages...) {
		v.Words = append(v.Words, lookWords{l.Tag, f.Title[l.Tag], f.Text[l.Tag], f.LogoAlt[l.Tag]})
	}
	return v, kept, nil
}

// keepLook audits and keeps a look, if the page takes it.
func (a *Admin) keepLook(ctx context.Context, c *call, r *store.Room, asked any, l store.Look) (deed, error) {
	if a.deps.Looks.Check == nil {
		return deed{}, kind(web.Conflict("Rooms cannot be given a look here."), "no-looks", "No looks")
	}
	if err := a.deps.Looks.Check(l.Brand, l.LogoName, l.Logo); err != nil {
		key, expected, _ := strings.Cut(strings.SplitN(err.Error(), "\n", 2)[0], ": expected ")
		return deed{}, web.Unprocessable(key, expected)
	}
	done, err := a.audited(ctx, c.who, "set-look", roomObject(r.ID), asked, func() (result, error) {
		return result{said: "The waiting page looks so within seconds."}, a.deps.Store.SetLook(ctx, r.ID, l)
	})
	done.back = lookPath(r.ID)
	return done, err
}

func lookPath(room int64) string { return fmt.Sprintf("/rooms/%d/look", room) }

// roomLook is the room that a call names, and how its page looks now.
func (a *Admin) roomLook(ctx context.Context, c *call) (r store.Room, l store.Look, err error) {
	if r, err = a.room(ctx, c.r, c.who); err != nil {
		return r, l, err
	}
	_, l, err = a.readLook(ctx, r.ID)
	return r, l, err
}

// setLook changes words and colours; the logo stays.
func (a *Admin) setLook(ctx context.Context, c *call) (deed, error) {
	var b lookBody
	if err := c.decode(&b); err != nil {
		return deed{}, err
	}
	r, kept, err := a.roomLook(ctx, c)
	if err != nil {
		return deed{}, err
	}
	if kept.Brand, err = b.brand(); err != nil {
		return deed{}, err
	}
	return a.keepLook(ctx, c, &r, b, kept)
}

// setLogo changes the logo; an empty one takes it away. Words and colours stay.
func (a *Admin) setLogo(ctx context.Context, c *call) (deed, error) {
	name, logo, err := c.logo()
	if err != nil {
		return deed{}, err
	}
	r, kept, err := a.roomLook(ctx, c)
	if err != nil {
		return deed{}, err
	}
	kept.LogoName, kept.Logo = name, logo
	return a.keepLook(ctx, c, &r, map[string]any{"logo": name, "bytes": len(logo)}, kept)
}

// logo reads a form with a file in it, or JSON.
func (c *call) logo() (name string, logo []byte, err error) {
	if !c.form {
		var b struct {
			Name string `json:"name"`
			Data string `json:"data"` // base64
		}
		if err := c.decode(&b); err != nil {
			return "", nil, err
		}
		if logo, err = base64.StdEncoding.DecodeString(b.Data); err != nil {
			return "", nil, web.Unprocessable("data", "a file in base64")
		}
		return b.Name, logo, nil
	}
	c.r.Body = http.MaxBytesReader(nil, c.r.Body, maxLogoBody)
	file, header, err := c.r.FormFile("logo")
	if errors.Is(err, http.ErrMissingFile) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, web.Unprocessable("logo", "a form with one file of at most 32 KiB")
	}
	defer func() { _ = file.Close() }() // it is in memory
	if logo, err = io.ReadAll(file); err != nil {
		return "", nil, web.BadRequest("logo", "a whole file")
	}
	if len(logo) == 0 {
		return "", nil, nil
	}
	return path.Base(header.Filename), logo, nil
}

// plainLook lets a room's page look as it does by itself.
func (a *Admin) plainLook(ctx context.Context, c *call) (deed, error) {
	r, err := a.room(ctx, c.r, c.who)
	if err != nil {
		return deed{}, err
	}
	done, err := a.audited(ctx, c.who, "drop-look", roomObject(r.ID), struct{}{}, func() (result, error) {
		return result{said: "The waiting page looks as it does by itself within seconds."}, a.deps.Store.DropLook(ctx, r.ID)
	})
	done.back = lookPath(r.ID)
	return done, err
}

func (a *Admin) lookPage(w http.ResponseWriter, r *http.Request, who actor) error {
	room, err := a.room(r.Context(), r, who)
	if err != nil {
		return err
	}
	v, _, err := a.readLook(r.Context(), room.ID)
	if err != nil {
		return err
	}
	return a.page(w, r, "look", who, struct {
		Room      store.Room
		Look      lookView
		Languages []Language // of Look.Words, the first for everybody
		Page      string
	}{room, v, append([]Language{{}}, a.deps.Looks.Languages...), fmt.Sprintf("%s/rooms/%d", strings.TrimSuffix(a.deps.ShopURL, "/"), room.ID)})
}

func (a *Admin) lookJSON(w http.ResponseWriter, r *http.Request, who actor) error {
	room, err := a.room(r.Context(), r, who)
	if err != nil {
		return err
	}
	v, _, err := a.readLook(r.Context(), room.ID)
	if err == nil {
		writeJSON(w, v)
	}
	return err
}
