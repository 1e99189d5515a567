package waitingroom

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// attended is a stage on which entering takes work, and a fan whose turn it is.
func attended(t *testing.T) (*stage, *fan) {
	t.Helper()
	s := open(t)
	s.gate.presence = token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 2_000}
	f := s.fan()
	f.join("1")
	s.until("the invitation", func() bool { return f.post("/rooms/1/enter", nil).status == 428 })
	return s, f
}

// asked is the puzzle that the door asks a fan to solve.
func asked(t *testing.T, f *fan) presencePuzzle {
	t.Helper()
	r := f.post("/rooms/1/enter", map[string]any{})
	if r.status != 428 || r.kind(t) != "presence" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	var p struct{ Puzzle presencePuzzle }
	r.into(t, &p)
	return p.Puzzle
}

func TestEnter_SomebodyMustBeThereWhenTheTurnComes(t *testing.T) {
	_, f := attended(t)
	p := asked(t, f)
	if p.SubPuzzles != 1 || p.Difficulty != 2_000 || len(p.Document) != 64 {
		t.Fatalf("%+v", p)
	}
	proof := enterRequest{Presence: presenceProof{Document: p.Document, Solution: solved(t, p.puzzleAnswer)}}
	if r := f.post("/rooms/1/enter", proof); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if r := f.post("/rooms/1/enter", proof); r.status != 200 {
		t.Errorf("asked again: %d %s", r.status, r.body)
	}
}

func TestEnter_AProofIsForOnePlaceAndOneDocument(t *testing.T) {
	s, f := attended(t)
	p := asked(t, f)
	good := solved(t, p.puzzleAnswer)
	other := s.fan()
	other.join("1")
	s.until("the other's invitation", func() bool { return other.post("/rooms/1/enter", nil).status == 428 })
	failed := s.gate.failed.Load()
	for name, c := range map[string]struct {
		who    *fan
		proof  presenceProof
		status int
		kind   string
	}{
		"somebody else's":         {other, presenceProof{p.Document, good}, 422, "not-solved"},
		"a wrong nonce":           {f, presenceProof{p.Document, "AAAAAAAAAAA"}, 422, "not-solved"},
		"no nonce":                {f, presenceProof{p.Document, ""}, 422, "not-solved"},
		"two nonces":              {f, presenceProof{p.Document, token.Text(make([]byte, 16))}, 422, "not-solved"},
		"half a nonce":            {f, presenceProof{p.Document, "AAAA"}, 400, ""},
		"a huge one":              {f, presenceProof{p.Document, strings.Repeat("A", 1000)}, 400, ""},
		"no base64":               {f, presenceProof{p.Document, "!!!!!!!!!!!"}, 400, ""},
		"a document nobody made":  {f, presenceProof{strings.Repeat("ab", 32), good}, 428, "presence"},
		"half a document":         {f, presenceProof{p.Document[:32], good}, 400, ""},
		"a document without form": {f, presenceProof{strings.Repeat("z", 64), good}, 400, ""},
	} {
		r := c.who.post("/rooms/1/enter", enterRequest{Presence: c.proof})
		if r.status != c.status || c.kind != "" && r.kind(t) != c.kind {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if s.gate.failed.Load() == failed {
		t.Error("wrong solutions were not noted")
	}
	if r := f.post("/rooms/1/enter", map[string]any{"presence": 7}); r.status != 400 {
		t.Errorf("a number as proof: %d %s", r.status, r.body)
	}
	if r := f.post("/rooms/1/enter", enterRequest{Presence: presenceProof{p.Document, good}}); r.status != 200 {
		t.Errorf("the right one after all: %d %s", r.status, r.body)
	}
}

func TestEnter_WhoIsNotInvitedWorksForNothing(t *testing.T) {
	s := open(t)
	s.gate.presence = token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 2_000}
	f := s.fan()
	f.join("2")
	if r := f.post("/rooms/2/enter", nil); r.status != 403 || r.kind(t) != "not-invited" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := f.post("/rooms/2/leave", nil); r.status != 200 {
		t.Errorf("leaving: %d %s", r.status, r.body)
	}
}

func TestEnter_WhoWaitedInsteadOfWorkingWaitsOn(t *testing.T) {
	s := open(t, func(c *Config, _ *Deps) { c.TimedWait = time.Millisecond })
	s.gate.presence = token.Price{Algorithm: 1, SubPuzzles: 1, K: 1, Difficulty: 2_000}
	f := s.fan()
	r := f.post("/rooms/1/arrive", arriveRequest{Lane: "timed"})
	var a arriveAnswer
	r.into(t, &a)
	s.until("the place", func() bool { return f.post("/rooms/1/join", joinRequest{Challenge: a.Challenge}).status == 200 })
	s.until("admission", func() bool { return f.post("/rooms/1/enter", nil).status == 200 })
}

func TestHeads_AnOldDocumentProvesNothing(t *testing.T) {
	var h heads
	now := time.Now()
	doc := func(n byte) *wire.QueueDocument {
		return &wire.QueueDocument{Room: 1, Chain: hex.EncodeToString(append([]byte{n}, make([]byte, 31)...))}
	}
	chain := func(n byte) wire.Hash { return wire.Hash{n} }
	if _, ok := h.newest(1); ok || h.recent(1, chain(1), now) {
		t.Error("of a room without documents")
	}
	h.see(doc(1), now)
	if !h.recent(1, chain(1), now.Add(time.Hour)) {
		t.Error("the newest one counts, however old")
	}
	h.see(doc(2), now.Add(time.Second))
	if !h.recent(1, chain(1), now.Add(presentFor)) || h.recent(1, chain(1), now.Add(presentFor+time.Second)) {
		t.Error("a minute is a minute")
	}
	if h.recent(2, chain(2), now) || h.recent(1, chain(3), now) || h.recent(1, wire.Hash{}, now) {
		t.Error("another room's, or nobody's")
	}
	h.see(&wire.QueueDocument{Room: 1, Chain: "no hash"}, now)
	if c, ok := h.newest(1); !ok || c != chain(2) {
		t.Errorf("%x", c)
	}
	for n := range byte(200) {
		h.see(doc(n), now)
	}
	if len(h.byRoom[1].list) != presentDocuments || h.recent(1, chain(1), now) {
		t.Error("it remembers for ever")
	}
	b, err := json.Marshal(presencePuzzle{Document: "x"})
	if err != nil || !strings.Contains(string(b), `"document":"x"`) || !strings.Contains(string(b), `"subPuzzles":0`) {
		t.Errorf("%s %v", b, err)
	}
}
