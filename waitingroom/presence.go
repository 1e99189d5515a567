package waitingroom

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"fairgate/internal/web"
	"fairgate/internal/wire"
	"fairgate/waitingroom/token"
)

// Entering takes a little work that nobody can do ahead: its seed follows from the head of the log's chain in a document of
// the last minute, which is the hash of everything that the document was made from. So a place must be attended when its turn
// comes, by somebody who works for it then, and cannot be parked and collected later at no cost.

const (
	// presentFor is how old a document may be that a proof of presence is bound to.
	presentFor = time.Minute
	// presentDocuments is how many documents of a room an edge remembers: one a second comes.
	presentDocuments = 75
)

// heads remembers the chains of each room's latest documents.
type heads struct {
	mu     sync.Mutex
	byRoom map[int64]*roomHeads
}

type roomHeads struct {
	list [presentDocuments]headAt
	next int
}

type headAt struct {
	chain wire.Hash
	at    time.Time // when this edge got it
}

// see notes a document that became its room's newest.
func (h *heads) see(d *wire.QueueDocument, now time.Time) {
	var chain wire.Hash
	if n, err := hex.Decode(chain[:], []byte(d.Chain)); err != nil || n != len(chain) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.byRoom == nil {
		h.byRoom = make(map[int64]*roomHeads)
	}
	r := h.byRoom[d.Room]
	if r == nil {
		r = new(roomHeads)
		h.byRoom[d.Room] = r
	}
	r.list[r.next] = headAt{chain, now}
	r.next = (r.next + 1) % presentDocuments
}

// newest is the chain of a room's newest document.
func (h *heads) newest(room int64) (chain wire.Hash, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.byRoom[room]
	if r == nil {
		return chain, false
	}
	return r.list[(r.next+presentDocuments-1)%presentDocuments].chain, true
}

// recent says that a chain is that of the newest document, however old, or of one of the last minute.
func (h *heads) recent(room int64, chain wire.Hash, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.byRoom[room]
	if r == nil {
		return false
	}
	for i := range r.list {
		newest := i == (r.next+presentDocuments-1)%presentDocuments
		if at := &r.list[i]; !at.at.IsZero() && at.chain == chain && (newest || now.Sub(at.at) <= presentFor) {
			return true
		}
	}
	return false
}

// presenceSeed is the seed of the work for one place at one document.
func presenceSeed(place wire.ID, chain wire.Hash) wire.Hash {
	b := make([]byte, 0, 80)
	b = append(b, "fairgate presence v1"...)
	b = append(b, place[:]...)
	b = append(b, chain[:]...)
	return sha256.Sum256(b)
}

// presenceProof is what entering carries.
type presenceProof struct {
	Document string `json:"document"` // the document's chain
	Solution string `json:"solution"`
}

// presencePuzzle is what it takes, in the answer that asks for it.
type presencePuzzle struct {
	puzzleAnswer
	Document string `json:"document"`
}

// errPresence makes a fan with an unknown or old document solve again.
var errPresence = errors.New("no proof of presence")

// present checks that somebody works for a place now. Who waited instead of working, since the browser cannot, waits on.
func (e *Edge) present(room Room, t *wire.Token, proof presenceProof, visit Visit) error {
	price := e.deps.Guard.Presence()
	if price.Difficulty == 0 || t.Lane == wire.LaneTimed {
		return nil
	}
	err := e.provesPresence(room.ID, t, proof, price)
	if err == nil || !errors.Is(err, errPresence) {
		if err != nil {
			e.deps.Guard.Failed(visit)
			e.metrics.refused.WithLabelValues("work").Inc()
		}
		return err
	}
	chain, ok := e.docs.heads.newest(room.ID)
	if !ok {
		return notYet()
	}
	name, err := e.deps.Guard.Algorithm(price)
	if err != nil {
		return err
	}
	seed := presenceSeed(t.ID, chain)
	return problem(http.StatusPreconditionRequired, "presence", "A moment", "Your place is saved. To enter, solve this small "+
		"puzzle, which shows that somebody is here, and ask again.").With("puzzle", presencePuzzle{puzzleAnswer: puzzleAnswer{
		Algorithm: name, SubPuzzles: price.SubPuzzles, K: price.K, Difficulty: price.Difficulty, Seed: hex.EncodeToString(seed[:]),
	}, Document: hex.EncodeToString(chain[:])})
}

// provesPresence returns nil for a proof that holds, errPresence if a newer one is needed, or what is wrong with it.
func (e *Edge) provesPresence(room int64, t *wire.Token, proof presenceProof, price token.Price) error {
	if proof == (presenceProof{}) {
		return errPresence
	}
	var chain wire.Hash
	if n, err := hex.Decode(chain[:], []byte(proof.Document)); err != nil || n != len(chain) || len(proof.Document) != 2*len(chain) {
		return web.BadRequest("presence.document", "the chain of a queue document, 64 hex digits")
	}
	size := len(proof.Solution) * 3 / 4
	if size > maxSolution || size%8 != 0 {
		return web.BadRequest("presence.solution", "the nonce, 8 bytes, least significant byte first, in base64url")
	}
	solution, err := token.FromText(proof.Solution, size)
	if err != nil {
		return web.BadRequest("presence.solution", "base64url without padding")
	}
	if !e.docs.heads.recent(room, chain, time.Now()) {
		return errPresence
	}
	if e.deps.Guard.Check(presenceSeed(t.ID, chain), price, solution) != nil {
		return problem(http.StatusUnprocessableEntity, "not-solved", "Not a solution", "This does not solve the puzzle. Your place is "+
			"saved: ask again without it to get a new one.").About("presence.solution")
	}
	return nil
}

type enterRequest struct {
	Presence presenceProof `json:"presence"`
}

// enterInput reads what entering carries; a form carries nothing.
func enterInput(ctx *fasthttp.RequestCtx) (in enterRequest, err error) {
	if web.WantsHTML(ctx) {
		return in, decode(ctx, &struct{}{})
	}
	return in, decode(ctx, &in)
}
