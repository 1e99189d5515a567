package crowd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
)

func TestJournal_ManyAppendersAllOnDiskWhenAnswered(t *testing.T) {
	t.Parallel()
	j, path := openJournal(t)
	var group sync.WaitGroup
	for i := range int64(200) {
		group.Go(func() {
			e := Entry{Kind: EntryPlace, Fan: i, Place: fmt.Sprintf("place-%d-end", i)}
			if err := j.Append(e); err != nil {
				t.Error(err)
			}
			b, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(b, []byte(e.Place)) {
				t.Errorf("answered before %s was in the file", e.Place)
			}
		})
	}
	group.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := ReadJournalFile(path)
	if err != nil || len(entries) != 200 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
}

func TestJournal_TornLastLineIsCutAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	for _, torn := range []string{"", `{"kind":"place","fan":2`, "x"} {
		path := filepath.Join(t.TempDir(), "journal")
		whole := `{"kind":"place","at":1,"fan":1,"user":"u"}` + "\n"
		if err := os.WriteFile(path, []byte(whole+torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if before, err := ReadJournalFile(path); err != nil || len(before) != 1 {
			t.Errorf("%q: read %v, %v", torn, before, err)
		}
		j, err := OpenJournal(path)
		if err != nil {
			t.Fatal(err)
		}
		want := []Entry{{Kind: EntryPlace, At: 1, Fan: 1, User: "u"}, {
			Kind: EntryPass, At: 2, Fan: 3, User: "v", Room: 1, Place: "p", OrderKey: "k", Lane: "normal", Instant: 4, Drawn: true, Pass: "q",
			Expires: 5, Event: 6, Booking: "b", Status: "held", Total: "1.00", Currency: "EUR", Tickets: 7, Payment: "y", Intent: "i",
		}}
		if err := errors.Join(j.Append(want[1]), j.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadJournalFile(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", torn, got, err)
		}
	}
}

func TestJournal_FailedForGoodOnceItFailed(t *testing.T) {
	t.Parallel()
	j, _ := openJournal(t)
	j.file.Close() // as a disk that is gone
	for range 2 {
		if err := j.Append(Entry{Kind: EntryPlace}); !errors.Is(err, errJournal) {
			t.Fatalf("error %v, want the journal's", err)
		}
	}
}

func TestReadJournal_NamesTheLineThatIsNoEntry(t *testing.T) {
	good := `{"kind":"place"}` + "\n"
	for _, bad := range []string{"{}\n", "garbage\n", strings.Repeat("x", maxEntry+1) + "\n"} {
		if _, err := ReadJournal(strings.NewReader(good + bad + good)); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add([]byte(`{"kind":"hold","total":"1.00"}` + "\n" + `{"kind":"pl`))
	f.Add([]byte("\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := ReadJournal(bytes.NewReader(b))
		if err == nil && len(entries) != bytes.Count(b, []byte("\n")) {
			t.Errorf("%d entries of %d lines", len(entries), bytes.Count(b, []byte("\n")))
		}
		Audit(entries, Facts{})
	})
}
