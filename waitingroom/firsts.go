package waitingroom

import "sync"

const (
	// maxFirsts is the most pages for first-time visitors that are kept, some kilobytes each.
	maxFirsts = 1_024
	// maxFirstAccept is the longest Accept-Language header, in bytes, whose page is kept.
	maxFirstAccept = 128
)

// firstPage names a page that is the same for everybody who comes for the first time.
type firstPage struct {
	room       int64
	name, next string
	accept     string // Accept-Language
	encoding   int
}

// firstMade is what such a page was made from; from anything else it would be another.
type firstMade struct {
	document *document
	look     any
}

// firsts keeps pages for first-time visitors. Its zero value is empty; it is safe for concurrent use.
type firsts struct {
	mu    sync.RWMutex
	pages map[firstPage]keptPage
}

type keptPage struct {
	made firstMade
	body []byte
}

// get is the page, if it was made from this. Callers must not change it.
func (f *firsts) get(key firstPage, made firstMade) ([]byte, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	kept, ok := f.pages[key]
	return kept.body, ok && kept.made == made
}

// put keeps a page. When there are too many all are dropped: those in demand are back within a second.
func (f *firsts) put(key firstPage, made firstMade, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pages == nil || (len(f.pages) >= maxFirsts && f.pages[key].body == nil) {
		f.pages = make(map[firstPage]keptPage)
	}
	f.pages[key] = keptPage{made, body}
}
