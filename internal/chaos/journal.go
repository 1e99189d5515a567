package chaos

import (
	"sync"

	"github.com/cespare/xxhash/v2"

	"fairgate/internal/wire"
)

// Journal remembers what was sent and what was said about it. It is safe for concurrent use.
type Journal struct {
	mu      sync.Mutex
	acked   map[place]uint64 // hash of the bytes that were acknowledged there
	perhaps map[wire.ID]bool // commands of which some try may be in the log
	never   map[wire.ID]bool // commands that were said not to be in it
	sent    int64
	doubled map[place]bool // an offset was given to two records
}

// place is where a record was said to be.
type place struct {
	partition int32
	offset    int64
}

// NewJournal returns an empty journal.
func NewJournal() *Journal {
	return &Journal{acked: map[place]uint64{}, perhaps: map[wire.ID]bool{}, never: map[wire.ID]bool{}, doubled: map[place]bool{}}
}

// acknowledged notes that the record was said to be in the log at an offset.
func (j *Journal) acknowledged(partition int32, offset int64, command wire.ID, value []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent++
	at := place{partition, offset}
	if _, twice := j.acked[at]; twice {
		j.doubled[at] = true
	}
	j.acked[at] = xxhash.Sum64(value)
	j.perhaps[command] = true
}

// failed notes a record that was not acknowledged; never says that it was said not to be in the log.
func (j *Journal) failed(command wire.ID, never bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent++
	if never && command != (wire.ID{}) {
		j.never[command] = true
		return
	}
	j.perhaps[command] = true
}

// Counts are how many records were sent, and how many of them acknowledged.
func (j *Journal) Counts() (sent, acknowledged int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.sent, int64(len(j.acked))
}

// never is whether a command must not be in the log: every try of it was said to have failed for sure.
func (j *Journal) mustNotBe(command wire.ID) bool { return j.never[command] && !j.perhaps[command] }
