package waitingroom

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/valyala/fasthttp"

	"fairgate/internal/estimate"
	"fairgate/internal/eventlog"
	"fairgate/internal/web"
	"fairgate/internal/wire"
)

const (
	// documentBacklog is how many documents of a partition are read back at the start, so that rooms whose document
	// seldom changes are known.
	documentBacklog = 2_000
	// maxDocument is the longest document that is taken.
	maxDocument = 256 << 10
	// documentSilence is how long reading may fail before the edge is not ready.
	documentSilence = 10 * time.Second
	brotliQuality   = 5
)

// Encodings of a document, in the order in which they are preferred.
const (
	encodingBrotli = iota
	encodingGzip
	encodingPlain
	encodings
)

var encodingNames = [encodings]string{"br", "gzip", ""}

// document is one queue document as it is served. It never changes.
type document struct {
	doc   wire.QueueDocument
	plain []byte
	etags [encodings]string
	forms [encodings]form
	pool  *sync.Pool // of *packer
}

// form is a document in one encoding, made by the first request for it: a room that nobody looks at costs nothing.
type form struct {
	once  sync.Once
	whole *web.Prepared
	same  *web.Prepared // for who has it already
}

// packer holds the compressors, which are large and worth keeping.
type packer struct {
	gz *gzip.Writer
	br *brotli.Writer
}

func newPackers() *sync.Pool {
	return &sync.Pool{New: func() any {
		return &packer{gz: gzip.NewWriter(nil), br: brotli.NewWriterLevel(nil, brotliQuality)}
	}}
}

func newDocument(value []byte, pool *sync.Pool) (*document, error) {
	if len(value) > maxDocument {
		return nil, fmt.Errorf("a queue document of %d bytes, at most %d are taken", len(value), maxDocument)
	}
	d := &document{plain: value, pool: pool}
	if err := json.Unmarshal(value, &d.doc); err != nil {
		return nil, fmt.Errorf("a queue document: %w", err)
	}
	if d.doc.Version != wire.Version || d.doc.Room <= 0 {
		return nil, fmt.Errorf("a queue document of version %d for room %d: %w", d.doc.Version, d.doc.Room, wire.ErrVersion)
	}
	for i, name := range encodingNames {
		if name != "" {
			name = "-" + name
		}
		d.etags[i] = fmt.Sprintf(`"%d-%d%s"`, d.doc.Epoch, d.doc.Offset, name)
	}
	return d, nil
}

// answer is the document in an encoding, or that the asker has it.
func (d *document) answer(encoding int, has bool) *web.Prepared {
	f := &d.forms[encoding]
	f.once.Do(func() { f.whole, f.same = d.prepare(encoding) })
	if has {
		return f.same
	}
	return f.whole
}

func (d *document) prepare(encoding int) (whole, same *web.Prepared) {
	headers := map[string]string{
		fasthttp.HeaderCacheControl: documentCaching, fasthttp.HeaderVary: fasthttp.HeaderAcceptEncoding, fasthttp.HeaderETag: d.etags[encoding],
	}
	same = web.Prepare(http.StatusNotModified, headers, nil)
	headers[fasthttp.HeaderContentType] = "application/json"
	if name := encodingNames[encoding]; name != "" {
		headers[fasthttp.HeaderContentEncoding] = name
	}
	return web.Prepare(http.StatusOK, headers, d.packed(encoding)), same
}

// packed is the document's bytes in an encoding.
func (d *document) packed(encoding int) []byte {
	var out bytes.Buffer
	p := d.pool.Get().(*packer)
	defer d.pool.Put(p)
	switch encoding {
	case encodingGzip:
		p.gz.Reset(&out)
		_, _ = p.gz.Write(d.plain) // a bytes.Buffer takes everything
		_ = p.gz.Close()
	case encodingBrotli:
		p.br.Reset(&out)
		_, _ = p.br.Write(d.plain)
		_ = p.br.Close()
	default:
		return d.plain
	}
	return out.Bytes()
}

// newer reports whether d was made later in the log.
func (d *document) newer(than *document) bool {
	if d.doc.Offset != than.doc.Offset {
		return d.doc.Offset > than.doc.Offset
	}
	return d.doc.Epoch > than.doc.Epoch
}

// documents holds the newest document of every room. A room's older one never replaces a newer one, whatever a paused
// leader still publishes.
type documents struct {
	mu     *sync.RWMutex
	byRoom map[int64]*document
	alive  []atomic.Int64 // per partition: unix nanoseconds of the last good fetch; 0 before the first
	bad    *atomic.Int64  // documents that could not be read
	pool   *sync.Pool
	kept   *estimate.Record

	crowded *crowded
	heads   *heads
}

func newDocuments(partitions int) documents {
	return documents{
		mu: new(sync.RWMutex), byRoom: make(map[int64]*document), alive: make([]atomic.Int64, partitions), bad: new(atomic.Int64),
		pool: newPackers(), kept: estimate.New(MaxRooms), crowded: new(crowded), heads: new(heads),
	}
}

// newest is a room's document, nil for none.
func (s *documents) newest(room int64) *document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byRoom[room]
}

// all is the newest document of every room, in no order.
func (s *documents) all() []*wire.QueueDocument {
	s.mu.RLock()
	defer s.mu.RUnlock()
	docs := make([]*wire.QueueDocument, 0, len(s.byRoom))
	for _, d := range s.byRoom {
		docs = append(docs, &d.doc)
	}
	return docs
}

// take keeps a document, or what is published beside it, if it is newer.
func (s *documents) take(value []byte) error {
	if wire.IsNetworks(value) {
		return s.crowded.take(value)
	}
	d, err := newDocument(value, s.pool)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.byRoom[d.doc.Room]
	if old == nil && len(s.byRoom) >= MaxRooms {
		return errors.New("documents of too many rooms")
	}
	if old == nil || d.newer(old) {
		s.byRoom[d.doc.Room] = d
		s.kept.Observe(&d.doc)
		s.heads.see(&d.doc, time.Now())
	}
	return nil
}

// read follows a partition of the documents until ctx ends, which is nil.
func (s *documents) read(ctx context.Context, from DocumentLog, partition int32) error {
	first, next, err := from.Events.Bounds(ctx, from.Topic, partition)
	if err != nil {
		return ended(ctx, err)
	}
	tail := from.Events.Tail(from.Topic, partition, max(first, next-documentBacklog), eventlog.TailConfig{})
	for {
		records, err := tail.Fetch(ctx)
		if errors.Is(err, eventlog.ErrOutOfRange) {
			// Retention overtook us: what is gone was old anyway.
			return s.read(ctx, from, partition)
		}
		if err != nil {
			return ended(ctx, err)
		}
		for _, r := range records {
			if s.take(r.Value) != nil {
				s.bad.Add(1)
			}
		}
		if tail.Trouble() == nil && tail.Next() >= tail.End() {
			s.alive[partition].Store(time.Now().UnixNano())
		}
	}
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("reading queue documents: %w", err)
}

// ready says whether every partition was read to its end lately.
func (s *documents) ready(now time.Time) error {
	for p := range s.alive {
		at := s.alive[p].Load()
		if at == 0 {
			return fmt.Errorf("queue documents of partition %d were not read yet", p)
		}
		if age := now.Sub(time.Unix(0, at)); age > documentSilence {
			return fmt.Errorf("queue documents of partition %d were last read %v ago", p, age.Round(time.Second))
		}
	}
	return nil
}
