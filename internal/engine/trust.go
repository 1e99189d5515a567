package engine

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"fairgate/internal/store"
)

// errUnfit: this snapshot cannot be used; an older one, or the log itself, can.
var errUnfit = errors.New("snapshot does not fit")

// Describe is what a snapshot of the state as it is now says beside its bytes.
func (c *Core) Describe() store.Snapshot {
	return store.Snapshot{NextOffset: c.next, NextSeq: c.seq + 1, Hash: c.hash, Chain: c.chain, Code: c.machine.Code()}
}

// Reopen is the state that a snapshot's bytes are of, over a machine in its first state. An error says why it cannot be
// used.
func Reopen(m Machine, partition int32, s store.Snapshot, data []byte) (*Core, error) {
	core := NewCore(m, partition)
	if s.Code != core.Code() {
		return nil, fmt.Errorf("%w: %w: %d, this program's is %d", errUnfit, ErrCode, s.Code, core.Code())
	}
	if err := core.Restore(data); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnfit, err)
	}
	if d := core.Describe(); d.NextOffset != s.NextOffset || d.NextSeq != s.NextSeq || d.Hash != s.Hash || d.Chain != s.Chain {
		return nil, fmt.Errorf("%w: %w: its bytes are of offset %d", errUnfit, ErrState, core.Next())
	}
	return core, nil
}

// SameState says whether a restored snapshot is the state that was saved.
func SameState(s store.Snapshot, restored *Core) error {
	if sha256.Sum256(restored.Snapshot(make([]byte, 0, s.Size))) != s.Digest {
		return fmt.Errorf("snapshot %d: %w: restored, it gives other bytes", s.ID, ErrState)
	}
	return nil
}

// MayCount says whether every outcome below a snapshot was read back, the last of them being seen: after a full stop
// nobody could derive those again from a later state.
func MayCount(s store.Snapshot, seen uint64) bool { return seen+1 >= s.NextSeq }
