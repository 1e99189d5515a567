package waitingroom

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// closet is what organisers have said of their rooms.
type closet struct {
	mu        sync.Mutex
	brands    map[int64]string
	revisions map[int64]int64
}

func (c *closet) put(room int64, brand string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.brands[room] = brand
	c.revisions[room]++
}

func (c *closet) drop(room int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.brands, room)
	delete(c.revisions, room)
}

func (c *closet) Revisions(context.Context) (map[int64]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[int64]int64{}
	for room, revision := range c.revisions {
		all[room] = revision
	}
	return all, nil
}

func (c *closet) Look(_ context.Context, room int64) ([]byte, string, []byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if brand, ok := c.brands[room]; ok {
		return []byte(brand), "sun.svg", []byte("<svg/>"), nil
	}
	return nil, "", nil, errors.New("gone meanwhile")
}

func TestBrands_WhatTheOrganiserSaysOfARoomGoesBeforeTheFolder(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "default.yaml"), []byte("title: House Style"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := &closet{brands: map[int64]string{}, revisions: map[int64]int64{}}
	s := open(t, func(c *Config, d *Deps) { c.Brands, c.Refresh, d.Looks = folder, 100*time.Millisecond, all })
	f := s.fan()
	shows := func(title, logo string) func() bool {
		return func() bool {
			_, page, _ := f.phase("2")
			return strings.Contains(page, title) && strings.Contains(page, `<img class="logo"`) == (logo != "")
		}
	}
	s.until("the folder's", shows(">House Style<", ""))
	all.put(foyer, `{"title":{"":"Summer \u0026 Sun"},"text":{},"light":{"accent":"#b00020"},"dark":{}}`)
	s.until("the organiser's", shows(">Summer &amp; Sun<", "logo"))
	all.put(foyer, `{"title":{"":"Autumn"}}`)
	s.until("the newer one", shows(">Autumn<", "logo"))
	all.put(foyer, `{"title":17,"unknown":1}`) // cannot be read: it stays as it was
	all.put(hall, `{"title":{"":"Hall of Sun"}}`)
	s.until("another room's", func() bool {
		_, page, _ := f.phase("1")
		return strings.Contains(page, ">Hall of Sun<")
	})
	if !shows(">Autumn<", "logo")() {
		t.Error("a look that cannot be read changed the page")
	}
	all.drop(foyer)
	s.until("the folder's again", shows(">House Style<", ""))
}
