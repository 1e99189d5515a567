package stripesim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// The folder holds generations: snapshot-N.jsonl is the state at the moment journal-N.jsonl was begun. Both are JSON
// lines; the first says the version of the format. Recovery reads the newest snapshot and every journal from its
// number on.
const formatHeader = `{"stripesim":1}` + "\n"

// journal appends transactions and tells when they are on disk. Without a folder it keeps nothing and is always done.
type journal struct {
	dir  string
	lock *os.File // held while open

	mu       sync.Mutex // guards the fields below; never held while the disk is written
	pending  []byte
	appended int64 // lines given to append
	written  int64 // bytes in the present generation, pending ones included
	failed   error // the first write error; everything after it fails too

	disk       sync.Mutex // held while writing; taken before mu
	file       *os.File
	durable    int64 // lines known to be on disk
	generation int
}

// openJournal replays what the folder holds into apply and opens a new generation's file, or the last one's end.
func openJournal(dir string, apply func(*line)) (*journal, error) {
	j := &journal{dir: dir}
	if dir == "" {
		return j, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	if err := j.takeFolder(); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	err := j.restore(apply)
	if err != nil {
		j.lock.Close()
		return nil, err
	}
	return j, nil
}

// takeFolder makes sure that no second simulator writes here. The kernel gives the lock back when the process ends.
func (j *journal) takeFolder() error {
	lock, err := os.OpenFile(filepath.Join(j.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return fmt.Errorf("folder %s is in use by another simulator: %w", j.dir, err)
	}
	j.lock = lock
	return nil
}

// restore replays the folder and leaves the journal ready to append.
func (j *journal) restore(apply func(*line)) error {
	snapshot, journals, err := generations(j.dir)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	if snapshot > 0 {
		if _, err := replay(j.name("snapshot", snapshot), false, apply); err != nil {
			return err
		}
	}
	j.generation = max(snapshot, 1)
	var size int64
	for i, n := range journals {
		if size, err = replay(j.name("journal", n), i == len(journals)-1, apply); err != nil {
			return err
		}
		j.generation = n
	}
	return j.begin(size)
}

// generations finds the newest snapshot (0 if none) and the journals that continue it, in order.
func generations(dir string) (snapshot int, journals []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, nil, err
	}
	number := func(name, kind string) int {
		rest, ok := strings.CutPrefix(name, kind+"-")
		rest, ok2 := strings.CutSuffix(rest, ".jsonl")
		n, err := strconv.Atoi(rest)
		if !ok || !ok2 || err != nil {
			return 0
		}
		return n
	}
	for _, e := range entries {
		snapshot = max(snapshot, number(e.Name(), "snapshot"))
	}
	for _, e := range entries {
		if n := number(e.Name(), "journal"); n > 0 && n >= snapshot {
			journals = append(journals, n)
		}
	}
	sort.Ints(journals)
	return snapshot, journals, nil
}

// replay applies one file's lines and returns the length of its good part. In the file that was being written when
// the process died (tail), a torn last line was answered to nobody and is dropped; anywhere else it is damage.
func replay(name string, tail bool, apply func(*line)) (int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var good int64
	for number := 1; ; number++ {
		raw, err := readLine(in)
		if err == io.EOF && len(raw) == 0 {
			return good, nil
		}
		torn := err == io.EOF
		if err != nil && !torn {
			return 0, fmt.Errorf("read journal %s line %d: %w", filepath.Base(name), number, err)
		}
		var l line
		problem := decodeLine(raw, number, torn, &l)
		if problem != nil {
			if tail && torn {
				return good, nil
			}
			return 0, fmt.Errorf("journal %s is damaged at line %d: %w", filepath.Base(name), number, problem)
		}
		apply(&l)
		good += int64(len(raw))
	}
}

// readLine reads up to and including a newline, or io.EOF and what is left.
func readLine(in *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := in.ReadSlice('\n')
		whole = append(whole, part...)
		if len(whole) > maxLineBytes {
			return nil, fmt.Errorf("longer than %d bytes", maxLineBytes)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return whole, err
		}
	}
}

// decodeLine reads one line; the first must be the header.
func decodeLine(raw []byte, number int, torn bool, into *line) error {
	if torn {
		return errors.New("cut short")
	}
	if number == 1 {
		if string(raw) != formatHeader {
			return fmt.Errorf("unknown format, expected %s", strings.TrimSpace(formatHeader))
		}
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return err
	}
	if slices.Contains(into.Intents, nil) || slices.Contains(into.Charges, nil) || slices.Contains(into.Refunds, nil) ||
		slices.Contains(into.Transactions, nil) || slices.Contains(into.Disputes, nil) || slices.Contains(into.Events, nil) ||
		slices.Contains(into.Plans, nil) {
		return errors.New("an object is null")
	}
	return nil
}

func (j *journal) name(kind string, n int) string {
	return filepath.Join(j.dir, fmt.Sprintf("%s-%d.jsonl", kind, n))
}

// begin opens the present generation's file, cut to its good length.
func (j *journal) begin(size int64) error {
	f, err := os.OpenFile(j.name("journal", j.generation), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	err = f.Truncate(size)
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err == nil && size == 0 {
		_, err = f.WriteString(formatHeader)
		size = int64(len(formatHeader))
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("open journal: %w", err)
	}
	j.file = f
	j.written = size
	return nil
}

// append queues a line and returns its position for flush. Calls come in the order of the transactions.
func (j *journal) append(l *line) (int64, error) {
	if j.dir == "" {
		return 0, nil
	}
	raw, err := json.Marshal(l)
	if err != nil {
		return 0, fmt.Errorf("encode journal line: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failed != nil {
		return 0, j.failed
	}
	j.pending = append(append(j.pending, raw...), '\n')
	j.appended++
	j.written += int64(len(raw)) + 1
	return j.appended, nil
}

// position is that of the last line appended.
func (j *journal) position() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.appended
}

func (j *journal) size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.written
}

// flush returns when the line at position is on disk. Callers that arrive during a write share the next one.
func (j *journal) flush(position int64) error {
	if j.dir == "" || position == 0 {
		return nil
	}
	j.disk.Lock()
	defer j.disk.Unlock()
	if j.durable >= position && j.broken() == nil {
		return nil
	}
	return j.drain()
}

func (j *journal) broken() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failed
}

// drain writes everything pending. The caller holds j.disk. A failed write leaves an unknown tail on disk, so the
// journal stays failed until a restart has read what is really there.
func (j *journal) drain() error {
	j.mu.Lock()
	batch, upTo, err := j.pending, j.appended, j.failed
	j.pending = nil
	j.mu.Unlock()
	if err != nil {
		return err
	}
	if len(batch) > 0 {
		if _, err = j.file.Write(batch); err == nil {
			err = j.file.Sync()
		}
	}
	if err != nil {
		err = fmt.Errorf("write journal: %w", err)
		j.mu.Lock()
		j.failed = err
		j.mu.Unlock()
		return err
	}
	j.durable = upTo
	return nil
}

// rotate closes the present file and begins the next generation. The caller keeps others from appending meanwhile.
func (j *journal) rotate() (int, error) {
	j.disk.Lock()
	defer j.disk.Unlock()
	if err := j.drain(); err != nil {
		return 0, err
	}
	old := j.file
	j.generation++
	if err := j.begin(0); err != nil {
		j.generation--
		return 0, err
	}
	return j.generation, old.Close()
}

// snapshot writes lines as the state that journal n continues, then removes what it replaces.
func (j *journal) snapshot(n int, lines []*line) error {
	temporary := j.name("snapshot", n) + ".tmp"
	if err := writeLines(temporary, lines); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := os.Rename(temporary, j.name("snapshot", n)); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := syncDir(j.dir); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	for old := n - 1; old > 0; old-- {
		gone := os.Remove(j.name("snapshot", old))
		gone2 := os.Remove(j.name("journal", old))
		if gone != nil && gone2 != nil {
			break
		}
	}
	return nil
}

// writeLines makes a complete file of lines and syncs it.
func writeLines(name string, lines []*line) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	out.WriteString(formatHeader)
	for _, l := range lines {
		raw, err := json.Marshal(l)
		if err != nil {
			return err
		}
		out.Write(bytes.TrimSpace(raw))
		out.WriteByte('\n')
	}
	if err := out.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// close writes what is pending and closes the file.
func (j *journal) close() error {
	if j.dir == "" {
		return nil
	}
	j.disk.Lock()
	defer j.disk.Unlock()
	return errors.Join(j.drain(), j.file.Close(), j.lock.Close())
}

// syncDir makes names created in a folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
