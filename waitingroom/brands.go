package waitingroom

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"

	"fairgate/internal/run"
	"fairgate/waitingroom/page"
)

// dress reads the folder of brands, if there is one.
func (e *Edge) dress() error {
	if e.config.Brands == "" {
		return nil
	}
	brands, err := page.LoadBrands(os.DirFS(e.config.Brands))
	if err != nil {
		return err
	}
	e.page.Dress(brands)
	return nil
}

// keepDressed reads the brands again when a file has changed, until ctx ends. What cannot be read leaves those before.
func (e *Edge) keepDressed(ctx context.Context) {
	if e.config.Brands == "" {
		return
	}
	last := e.brandsMark()
	run.Interval(ctx, e.config.Refresh, e.config.Refresh/4, func(context.Context) {
		mark := e.brandsMark()
		if mark == last {
			return
		}
		last = mark
		if err := e.dress(); err != nil {
			e.deps.Log.Warn("brands not read; rooms look as before", "error", err)
		}
	})
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
