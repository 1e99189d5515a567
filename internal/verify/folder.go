package verify

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"fairgate/internal/eventlog"
	"fairgate/internal/receipt"
	"fairgate/internal/wire"
)

// ManifestFile is the name of a dump's manifest, written last: a dump without one was interrupted.
const ManifestFile = "manifest.json"

// maxManifest bounds it, in bytes.
const maxManifest = 4 << 20

// folderBatch is how many records one Fetch from a folder returns at most.
const folderBatch = 1_000

// ErrDump: the folder is not a whole dump, or was changed.
var ErrDump = errors.New("not a dump, or damaged")

// Manifest says what a dump holds.
type Manifest struct {
	Version          int             `json:"version"` // of the layout: wire.Version
	Prefix           string          `json:"prefix"`  // before the names of topics
	OrdersPartitions int             `json:"ordersPartitions"`
	QueuePartitions  int             `json:"queuePartitions"`
	Keys             json.RawMessage `json:"receiptKeys,omitempty"` // a JWK set, for those who trust whoever made the dump
	Files            []DumpedFile    `json:"files"`
}

// DumpedFile is one partition of one topic, from its first record on.
type DumpedFile struct {
	Name      string `json:"name"`
	Topic     string `json:"topic"`   // prefix included
	TopicID   string `json:"topicId"` // hex
	Partition int32  `json:"partition"`
	First     int64  `json:"first"`  // offset of the first record
	Next      int64  `json:"next"`   // offset after the last
	SHA256    string `json:"sha256"` // of the file, hex
}

// Folder is a dump: logs that are read without any broker.
type Folder struct {
	Manifest Manifest
	dir      string
}

// OpenFolder reads the manifest of a dump. ErrDump, wrapped, if there is none.
func OpenFolder(dir string) (*Folder, error) {
	f, err := os.Open(filepath.Join(dir, ManifestFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDump, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDump, err)
	}
	d := &Folder{dir: dir}
	if len(b) > maxManifest || json.Unmarshal(b, &d.Manifest) != nil || d.Manifest.Version != wire.Version {
		return nil, fmt.Errorf("%w: %s is none that this program can read", ErrDump, ManifestFile)
	}
	for _, file := range d.Manifest.Files {
		if filepath.Base(file.Name) != file.Name || file.First < 0 || file.Next < file.First {
			return nil, fmt.Errorf("%w: %s names %q", ErrDump, ManifestFile, file.Name)
		}
	}
	return d, nil
}

// Keys are the public keys of receipts that the dump's maker put into it; nil if none.
func (d *Folder) Keys() (receipt.Keys, error) {
	if d.Manifest.Keys == nil {
		return nil, nil
	}
	return receipt.ParseJWKS(d.Manifest.Keys)
}

// Grows is false: a dump ends where it was made.
func (d *Folder) Grows() bool { return false }

func (d *Folder) find(topic string, partition int32) (DumpedFile, error) {
	for _, f := range d.Manifest.Files {
		if f.Topic == topic && f.Partition == partition {
			return f, nil
		}
	}
	return DumpedFile{}, fmt.Errorf("%w: it does not hold %s/%d", ErrDump, topic, partition)
}

// TopicID is the identity that the topic had when the dump was made.
func (d *Folder) TopicID(_ context.Context, topic string) (id [16]byte, err error) {
	for _, f := range d.Manifest.Files {
		if f.Topic != topic {
			continue
		}
		if b, err := hex.DecodeString(f.TopicID); err == nil && len(b) == len(id) {
			return [16]byte(b), nil
		}
		return id, fmt.Errorf("%w: the identity of %s", ErrDump, topic)
	}
	return id, fmt.Errorf("%w: it does not hold %s", ErrDump, topic)
}

// Bounds are those of the partition's file.
func (d *Folder) Bounds(_ context.Context, topic string, partition int32) (first, next int64, err error) {
	f, err := d.find(topic, partition)
	return f.First, f.Next, err
}

// Open reads the partition's file. Read from its first record to its last, its hash is compared.
func (d *Folder) Open(topic string, partition int32, from int64) Records {
	r := &fileRecords{digest: sha256.New()}
	r.file, r.err = d.find(topic, partition)
	if r.err == nil {
		r.err = r.open(filepath.Join(d.dir, r.file.Name), from)
	}
	return r
}

// fileRecords reads a dumped partition.
type fileRecords struct {
	file   DumpedFile
	closer io.Closer
	in     *bufio.Reader
	digest hash.Hash // of everything read
	next   int64
	err    error
}

func (r *fileRecords) open(path string, from int64) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDump, err)
	}
	r.closer, r.in, r.next = f, bufio.NewReaderSize(io.TeeReader(f, r.digest), 1<<20), r.file.First
	head := make([]byte, len(wire.DumpHeader))
	if _, err := io.ReadFull(r.in, head); err != nil || string(head) != wire.DumpHeader {
		return fmt.Errorf("%w: %s is not of this kind", ErrDump, r.file.Name)
	}
	for r.next < min(from, r.file.Next) {
		if _, err := r.record(); err != nil {
			return err
		}
	}
	return nil
}

// Close gives the file back.
func (r *fileRecords) Close() {
	if r.closer != nil {
		_ = r.closer.Close()
	}
}

func (r *fileRecords) record() (eventlog.Record, error) {
	damaged := func(err error) (eventlog.Record, error) {
		return eventlog.Record{}, fmt.Errorf("%w: %s at record %d: %w", ErrDump, r.file.Name, r.next, err)
	}
	var size [4]byte
	if _, err := io.ReadFull(r.in, size[:]); err != nil {
		return damaged(err)
	}
	n, err := wire.DumpedSize(size[:])
	if err != nil {
		return damaged(err)
	}
	value := make([]byte, n)
	if _, err := io.ReadFull(r.in, value); err != nil {
		return damaged(err)
	}
	r.next++
	return eventlog.Record{Offset: r.next - 1, Value: value}, nil
}

// Fetch returns the next records, none at the end.
func (r *fileRecords) Fetch(ctx context.Context) ([]eventlog.Record, error) {
	var batch []eventlog.Record
	for r.err == nil && r.next < r.file.Next && len(batch) < folderBatch {
		var one eventlog.Record
		if one, r.err = r.record(); r.err == nil {
			batch = append(batch, one)
		}
	}
	if r.err == nil && len(batch) > 0 && r.next == r.file.Next {
		r.err = r.whole()
	}
	if r.err == nil {
		r.err = ctx.Err()
	}
	return batch, r.err
}

// whole holds the file against its hash once its last record was read.
func (r *fileRecords) whole() error {
	if n, err := io.Copy(io.Discard, r.in); err != nil || n > 0 {
		return fmt.Errorf("%w: %s goes on after its last record", ErrDump, r.file.Name)
	}
	if hex.EncodeToString(r.digest.Sum(nil)) != r.file.SHA256 {
		return fmt.Errorf("%w: %s is not the file that was written", ErrDump, r.file.Name)
	}
	return nil
}
