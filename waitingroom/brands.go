package waitingroom

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"

	"fairgate/internal/run"
	"fairgate/waitingroom/page"
)

// Looks says how organisers want the pages of their rooms to look. It is asked every few seconds, never for a request.
type Looks interface {
	// Revisions are the rooms that have a look, each with a number that changes when it does.
	Revisions(ctx context.Context) (map[int64]int64, error)
	// Look is that of a room, as page.ParseBrand takes it.
	Look(ctx context.Context, room int64) (brand []byte, logoName string, logo []byte, err error)
}

// wardrobe is how rooms look: by the folder of brands, and by what organisers have said of their rooms, which goes before. It
// is for one goroutine.
type wardrobe struct {
	folder    page.Brands
	mark      uint64 // of the folder as it was read
	set       page.Brands
	revisions map[int64]int64 // of set, and of looks that could not be read
}

// dress reads the folder of brands, if there is one, and dresses the rooms.
func (e *Edge) dress() error {
	if e.config.Brands != "" {
		e.wardrobe.mark = e.brandsMark()
		brands, err := page.LoadBrands(os.DirFS(e.config.Brands))
		if err != nil {
			return err
		}
		e.wardrobe.folder = brands
	}
	e.page.Dress(e.wardrobe.all())
	return nil
}

func (w *wardrobe) all() page.Brands {
	all := make(page.Brands, len(w.folder)+len(w.set))
	maps.Copy(all, w.folder)
	maps.Copy(all, w.set)
	return all
}

// keepDressed reads again what has changed, until ctx ends. What cannot be read leaves what was before.
func (e *Edge) keepDressed(ctx context.Context) {
	if e.config.Brands == "" && e.deps.Looks == nil {
		return
	}
	run.Interval(ctx, e.config.Refresh, e.config.Refresh/4, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, e.config.Refresh)
		defer cancel()
		changed, err := e.readLooks(ctx)
		if err != nil && ctx.Err() == nil {
			e.deps.Log.Warn("looks not read; rooms look as before", "error", err)
		}
		if e.config.Brands != "" && e.brandsMark() != e.wardrobe.mark {
			if err := e.dress(); err != nil {
				e.deps.Log.Warn("brands not read; rooms look as before", "error", err)
			}
			changed = false
		}
		if changed {
			e.page.Dress(e.wardrobe.all())
		}
	})
}

// readLooks reads the looks that are new. One that cannot be read is an error once; what the room looked like stays.
func (e *Edge) readLooks(ctx context.Context) (changed bool, err error) {
	if e.deps.Looks == nil {
		return false, nil
	}
	w := &e.wardrobe
	revisions, err := e.deps.Looks.Revisions(ctx)
	if err != nil {
		return false, err
	}
	for room := range w.set {
		if _, still := revisions[room]; !still {
			delete(w.set, room)
			changed = true
		}
	}
	var errs []error
	known := make(map[int64]int64, len(revisions))
	for room, revision := range revisions {
		if was, ok := w.revisions[room]; ok && was == revision || len(known) >= MaxRooms {
			known[room] = revision
			continue
		}
		brand, name, logo, err := e.deps.Looks.Look(ctx, room)
		if err != nil {
			errs = append(errs, err)
			continue // asked again the next time
		}
		known[room] = revision
		b, err := page.ParseBrand(brand, name, logo)
		if err != nil {
			errs = append(errs, fmt.Errorf("room %d: %w", room, err))
			continue
		}
		if w.set == nil {
			w.set = make(page.Brands)
		}
		w.set[room] = b
		changed = true
	}
	w.revisions = known
	return changed, errors.Join(errs...)
}

// brandsMark changes with the names, sizes and times of the folder's files.
func (e *Edge) brandsMark() uint64 {
	h := fnv.New64a()
	entries, err := fs.ReadDir(os.DirFS(e.config.Brands), ".")
	if err != nil {
		return 0
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			fmt.Fprintf(h, "%s %d %d\n", info.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return h.Sum64()
}
