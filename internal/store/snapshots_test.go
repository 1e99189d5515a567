package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"fairgate/internal/wire"
)

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func TestSnapshot_ComesBackAsItWasSaved(t *testing.T) {
	db := open(t)
	data := append(noise(2*SnapshotChunk+7), make([]byte, 1<<20)...)
	want := Snapshot{Name: "orders/0", TopicID: [16]byte{1}, NextOffset: 5, NextSeq: 1<<63 + 1, Hash: 1<<64 - 1,
		Chain: wire.Hash{2}, Code: 3}
	saved, err := db.SaveSnapshot(t.Context(), want, data)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := db.Snapshots(t.Context(), "orders/0"); err != nil || len(list) != 0 {
		t.Fatalf("it counts already: %v %v", list, err)
	}
	if err := db.CountSnapshot(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	list, err := db.Snapshots(t.Context(), "orders/0")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	got := list[0]
	if !got.TakenAt.Equal(saved.TakenAt) {
		t.Errorf("taken at %s, then %s", saved.TakenAt, got.TakenAt)
	}
	got.TakenAt = saved.TakenAt
	if got != saved || got.NextSeq != want.NextSeq || got.Hash != want.Hash {
		t.Errorf("%+v\nwant %+v", got, saved)
	}
	loaded, err := db.LoadSnapshot(t.Context(), got)
	if err != nil || !bytes.Equal(loaded, data) {
		t.Fatalf("%d bytes, want %d: %v", len(loaded), len(data), err)
	}
	if age, next, ok, err := db.NewestSnapshot(t.Context(), "orders/0"); err != nil || !ok || next != 5 || age < 0 {
		t.Fatal(age, next, ok, err)
	}
}

func TestSnapshot_ThreeOfANameAreKept(t *testing.T) {
	db := open(t)
	for i := range 5 {
		for _, name := range []string{"orders/0", "orders/1"} {
			s, err := db.SaveSnapshot(t.Context(), Snapshot{Name: name, NextOffset: int64(i)}, []byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.CountSnapshot(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
	var rows, chunks int
	err := db.Write.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) FROM snapshot_chunks)`).
		Scan(&rows, &chunks)
	if err != nil || rows != 2*SnapshotsKept || chunks != rows {
		t.Fatal(rows, chunks, err)
	}
	list, err := db.Snapshots(t.Context(), "orders/1")
	if err != nil || len(list) != SnapshotsKept || list[0].NextOffset != 4 || list[2].NextOffset != 2 {
		t.Fatal(list, err)
	}
}

func TestSnapshot_DamageIsNoticed(t *testing.T) {
	db := open(t)
	data := noise(3000)
	for name, damage := range map[string]string{
		"a byte":       `UPDATE snapshot_chunks SET data = set_byte(data, 1500, get_byte(data, 1500) # 1) WHERE snapshot_id = $1`,
		"a cut":        `UPDATE snapshot_chunks SET data = substr(data, 1, 2000) WHERE snapshot_id = $1`,
		"no chunk":     `DELETE FROM snapshot_chunks WHERE snapshot_id = $1`,
		"chunk twice":  `INSERT INTO snapshot_chunks SELECT snapshot_id, 1, data FROM snapshot_chunks WHERE snapshot_id = $1`,
		"other digest": `UPDATE snapshots SET digest = '' WHERE id = $1`,
		"other size":   `UPDATE snapshots SET size = -1 WHERE id = $1`,
	} {
		s, err := db.SaveSnapshot(t.Context(), Snapshot{Name: name}, data)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.CountSnapshot(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Write.Exec(t.Context(), damage, s.ID); err != nil {
			t.Fatal(err)
		}
		list, err := db.Snapshots(t.Context(), name)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if _, err := db.LoadSnapshot(t.Context(), list[0]); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSnapshot_DamageOfAnyChunkIsNoticed(t *testing.T) {
	db := open(t)
	data := noise(2*SnapshotChunk + 100)
	s, err := db.SaveSnapshot(t.Context(), Snapshot{Name: "orders/0"}, data)
	if err != nil {
		t.Fatal(err)
	}
	var chunks int
	if err := db.Write.QueryRow(t.Context(), `SELECT count(*) FROM snapshot_chunks`).Scan(&chunks); err != nil || chunks != 3 {
		t.Fatal(chunks, err)
	}
	for name, damage := range map[string]string{
		"bit":     `UPDATE snapshot_chunks SET data = set_byte(data, 50, get_byte(data, 50) # 4) WHERE number = $1`,
		"cut":     `UPDATE snapshot_chunks SET data = substr(data, 1, length(data) / 2) WHERE number = $1`,
		"missing": `DELETE FROM snapshot_chunks WHERE number = $1`,
		"moved":   `UPDATE snapshot_chunks SET number = number + 10 * (CASE WHEN $1 = 2 THEN -1 ELSE 1 END) WHERE number = $1`,
	} {
		for chunk := range chunks {
			tag, err := db.Write.Exec(t.Context(), damage, chunk)
			if err != nil || tag.RowsAffected() != 1 {
				t.Fatal(tag, err)
			}
			if _, err := db.LoadSnapshot(t.Context(), s); !errors.Is(err, ErrDamaged) {
				t.Errorf("chunk %d, %s: %v", chunk, name, err)
			}
			if s, err = db.SaveSnapshot(t.Context(), s, data); err != nil { // which removes the one that never counted
				t.Fatal(err)
			}
		}
	}
}

func TestSnapshot_OneAtATimeTakesIt(t *testing.T) {
	db := open(t)
	done, ok, err := db.SnapshotTurn(t.Context(), "orders/0")
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	if _, ok, err := db.SnapshotTurn(t.Context(), "orders/0"); err != nil || ok {
		t.Fatalf("two at once: %v", err)
	}
	other, ok, err := db.SnapshotTurn(t.Context(), "orders/1")
	if err != nil || !ok {
		t.Fatalf("another name has to wait: %v", err)
	}
	other()
	done()
	for range 100 { // the server hears of the closed connection a moment later
		if done, ok, err = db.SnapshotTurn(t.Context(), "orders/0"); err != nil || ok {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err != nil || !ok {
		t.Fatalf("it was given back: %t, %v", ok, err)
	}
	done()
}

func TestSnapshot_ThatNeverCountedIsRemovedByTheNext(t *testing.T) {
	db := open(t)
	for i := range 3 {
		if _, err := db.SaveSnapshot(t.Context(), Snapshot{Name: "orders/0", NextOffset: int64(i)}, []byte{1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.SaveSnapshot(t.Context(), Snapshot{Name: "orders/1"}, []byte{1}); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := db.Write.QueryRow(t.Context(), `SELECT count(*) FROM snapshots`).Scan(&rows); err != nil || rows != 2 {
		t.Fatal(rows, err)
	}
}

func TestSnapshot_AnotherUnderTheSameIDDoesNotCount(t *testing.T) {
	db := open(t)
	mine, err := db.SaveSnapshot(t.Context(), Snapshot{Name: "orders/0", NextOffset: 4}, []byte("mine"))
	if err != nil {
		t.Fatal(err)
	}
	// A failover takes the row back, and with it the sequence: the next one gets the same id.
	_, err = db.Write.Exec(t.Context(), `WITH gone AS (DELETE FROM snapshots)
		SELECT setval(pg_get_serial_sequence('snapshots', 'id'), $1, false)`, mine.ID)
	if err != nil {
		t.Fatal(err)
	}
	other, err := db.SaveSnapshot(t.Context(), Snapshot{Name: "orders/0", NextOffset: 9}, []byte("another's"))
	if err != nil || other.ID != mine.ID {
		t.Fatal(other.ID, mine.ID, err)
	}
	if err := db.CountSnapshot(t.Context(), mine); err == nil {
		t.Fatal("a snapshot counts that nobody vouched for")
	}
}
