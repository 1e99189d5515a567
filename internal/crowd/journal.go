package crowd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Kind says what was acknowledged.
type Kind string

// The kinds of entries, and which fields each has beside Fan and User.
const (
	EntryPlace      Kind = "place"      // recorded in line: Room, Place, OrderKey, Lane, Instant, Drawn
	EntryPass       Kind = "pass"       // admitted: Room, Place, Pass, Expires, OrderKey, Lane
	EntryHold       Kind = "hold"       // held, or on offer: Booking, Event, Total, Currency, Pass, Expires
	EntryWaitlisted Kind = "waitlisted" // Booking, Event
	EntryAuthorised Kind = "authorised" // the card agreed: Payment, Booking, Event, Intent, Total, Currency
	EntryConfirmed  Kind = "confirmed"  // seen confirmed with every ticket valid: Booking, Event, Total, Tickets
	EntryCancelled  Kind = "cancelled"  // given back, and the answer said so: Booking, Event
	EntryEnded      Kind = "ended"      // seen over in another way: Booking, Event, Status
)

// Entry is one acknowledgement that a fan got. Ids are in the form in which they were answered; Total is a decimal
// string of Currency; instants are µs.
type Entry struct {
	Kind     Kind   `json:"kind"`
	At       int64  `json:"at"` // when it was noted, by the crowd's clock
	Fan      int64  `json:"fan"`
	User     string `json:"user"`
	Room     int64  `json:"room,omitempty"`
	Place    string `json:"place,omitempty"`
	OrderKey string `json:"orderKey,omitempty"`
	Lane     string `json:"lane,omitempty"`
	Instant  int64  `json:"instant,omitempty"`
	Drawn    bool   `json:"drawn,omitempty"` // the key is not final: a draw decides
	Pass     string `json:"pass,omitempty"`
	Expires  int64  `json:"expires,omitempty"`
	Event    int64  `json:"event,omitempty"`
	Booking  string `json:"booking,omitempty"`
	Status   string `json:"status,omitempty"`
	Total    string `json:"total,omitempty"`
	Currency string `json:"currency,omitempty"`
	Tickets  int    `json:"tickets,omitempty"`
	Payment  string `json:"payment,omitempty"`
	Intent   string `json:"intent,omitempty"`
}

const (
	// journalGather is how long the first of a batch waits for others: it bounds the syncs to about 100 a second.
	journalGather = 10 * time.Millisecond
	// journalQueue is how many entries may wait to be written.
	journalQueue = 1024
	// maxEntry is the longest line that is read back, in bytes.
	maxEntry = 16 << 10
)

// Journal is an append-only file of JSON lines. It is safe for any number of goroutines.
type Journal struct {
	file   *os.File
	queue  chan journalled
	closed chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended
	once   sync.Once
	failed error // of the writer; read it after done
}

// journalled is a line, and where to say that it is on disk.
type journalled struct {
	line []byte
	done chan error
}

// OpenJournal opens a journal to append to, and makes it if need be. A last line that was cut off by a crash is removed:
// nobody acted on it. The caller closes it.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	if err := cutTorn(f); err != nil {
		return nil, errors.Join(fmt.Errorf("repairing the journal: %w", err), f.Close())
	}
	j := &Journal{file: f, queue: make(chan journalled, journalQueue), closed: make(chan struct{}), done: make(chan struct{})}
	go j.write()
	return j, nil
}

// cutTorn removes what stands behind the last line's end and leaves the file positioned at its end.
func cutTorn(f *os.File) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	tail := make([]byte, min(size, maxEntry))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return err
	}
	whole := size - int64(len(tail)) + int64(bytes.LastIndexByte(tail, '\n')) + 1
	if whole == size {
		return nil
	}
	if int64(len(tail)) < size && bytes.IndexByte(tail, '\n') < 0 {
		return fmt.Errorf("a line is longer than %d bytes: this is no journal", maxEntry)
	}
	if err := f.Truncate(whole); err != nil {
		return err
	}
	_, err = f.Seek(whole, io.SeekStart)
	return err
}

// Append writes an entry and returns once it is on disk. After an error nothing may be done that rests on the entry; a
// journal that failed once fails for good.
func (j *Journal) Append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: %w", errJournal, err)
	}
	item := journalled{append(line, '\n'), make(chan error, 1)}
	select {
	case j.queue <- item:
	case <-j.done:
		return j.err()
	}
	select {
	case err := <-item.done:
		return err
	case <-j.done:
		// The writer may have answered just before it ended.
		select {
		case err := <-item.done:
			return err
		default:
			return j.err()
		}
	}
}

// err is why the journal takes nothing any more; call it after done.
func (j *Journal) err() error {
	if j.failed != nil {
		return j.failed
	}
	return fmt.Errorf("%w: it is closed", errJournal)
}

// Close waits until what was appended before is on disk.
func (j *Journal) Close() error {
	j.once.Do(func() { close(j.closed) })
	<-j.done
	return errors.Join(j.failed, j.file.Close())
}

// write is the journal's one goroutine; Close waits for it. Crash story: a batch that was not synced was acknowledged to
// nobody, so losing any part of it loses nothing.
func (j *Journal) write() {
	defer close(j.done)
	for {
		select {
		case first := <-j.queue:
			if j.failed = j.batch(first); j.failed != nil {
				return
			}
		case <-j.closed:
			for {
				select {
				case first := <-j.queue:
					if j.failed = j.batch(first); j.failed != nil {
						return
					}
				default:
					return
				}
			}
		}
	}
}

// batch gathers, writes, syncs and then answers all whose lines are in it.
func (j *Journal) batch(first journalled) error {
	time.Sleep(journalGather)
	all, lines := []journalled{first}, first.line
	for more := true; more && len(all) < journalQueue; {
		select {
		case item := <-j.queue:
			all, lines = append(all, item), append(lines, item.line...)
		default:
			more = false
		}
	}
	_, err := j.file.Write(lines)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errJournal, err)
	}
	for _, item := range all {
		item.done <- err
	}
	return err
}

// ReadJournal reads a journal back. A last line without an end is left out: nobody acted on it. Any other line that is
// no entry is an error that names it.
func ReadJournal(r io.Reader) ([]Entry, error) {
	var entries []Entry
	in := bufio.NewReaderSize(r, maxEntry)
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("journal line %d: %w", number, err)
		}
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil || e.Kind == "" {
			return nil, fmt.Errorf("journal line %d: not an entry", number)
		}
		entries = append(entries, e)
	}
}

// ReadJournalFile reads the journal at a path.
func ReadJournalFile(path string) ([]Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	entries, err := ReadJournal(f)
	return entries, errors.Join(err, f.Close())
}
