package bots

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"fairgate/internal/wire"
)

const (
	lookEvery = 200 * time.Millisecond
	// sellMost is how long selling may take, by the wall's clock.
	sellMost  = 5 * time.Minute
	enterEach = 40 // how often one asks to enter
)

// sell lets everybody in whose turn it is, until all tickets are gone. An admission is a ticket.
func (r *run) sell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sellMost)
	defer cancel()
	lanes, err := r.lanes(ctx)
	if err != nil {
		return err
	}
	s := seller{run: r, left: r.Tickets(), gone: make(chan struct{})}
	tasks := make(chan *party)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for p := range tasks {
				s.enter(ctx, p)
			}
		})
	}
	defer wg.Wait()
	defer close(tasks)
	for {
		d, err := r.client.document()
		if err != nil {
			r.fault("document")
		}
		for i := range d.Lanes {
			line := lanes[d.Lanes[i].Lane]
			for len(line) > 0 && line[0].key <= d.Lanes[i].InvitedTo {
				select {
				case tasks <- line[0]:
				case <-s.gone:
					return nil
				case <-ctx.Done():
					return fmt.Errorf("bots: %d tickets were not sold: %w", s.left, ctx.Err())
				}
				line = line[1:]
			}
			lanes[d.Lanes[i].Lane] = line
		}
		waiting := 0
		for _, line := range lanes {
			waiting += len(line)
		}
		select {
		case <-s.gone:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("bots: %d tickets were not sold, %d wait: %w", s.left, waiting, ctx.Err())
		case <-time.After(lookEvery):
		}
	}
}

// lanes are the lines as everybody stands in them, keys of the draw computed at home.
func (r *run) lanes(ctx context.Context) (map[string][]*party, error) {
	var key []byte
	for r.Draw && key == nil {
		d, err := r.client.document()
		if err == nil && d.Drawn {
			seed, err := hex.DecodeString(d.Seed)
			if err != nil || len(seed) != len(wire.Hash{}) {
				return nil, fmt.Errorf("%w: the seed %q", errUnfair, d.Seed)
			}
			k := wire.DrawKey(wire.Hash(seed), []byte(d.Public))
			key = k[:]
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("bots: the draw was not held: %w", ctx.Err())
		case <-time.After(lookEvery):
		}
	}
	lanes := map[string][]*party{}
	for _, p := range r.everybody() {
		if p.state != joined {
			continue
		}
		if key != nil {
			id, err := hex.DecodeString(p.place)
			if err != nil {
				return nil, fmt.Errorf("%w: the place %q", errUnfair, p.place)
			}
			mac := hmac.New(sha256.New, key)
			mac.Write(id)
			p.key = "00" + hex.EncodeToString(mac.Sum(nil)[:8]) + p.place
		}
		lanes[p.lane] = append(lanes[p.lane], p)
	}
	for _, line := range lanes {
		slices.SortFunc(line, func(a, b *party) int { return cmp.Compare(a.key, b.key) })
	}
	return lanes, nil
}

func (r *run) everybody() []*party { return append(slices.Clone(r.crowd), r.farm.places...) }

// seller counts the tickets.
type seller struct {
	*run
	mu   sync.Mutex
	left int
	gone chan struct{}
}

// enter asks until the door says yes; whoever is let in while tickets last has one.
func (s *seller) enter(ctx context.Context, p *party) {
	body := map[string]any{}
	for range enterEach {
		a := s.client.send("enter", body, p.addr, p)
		if a.status == http.StatusOK {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.left > 0 {
				p.state = won
				if s.left--; s.left == 0 {
					close(s.gone)
				}
			}
			return
		}
		if a.status == http.StatusPreconditionRequired {
			if body = s.prove(&a); body != nil {
				continue
			}
			body = map[string]any{}
		}
		if a.status != http.StatusAccepted && a.status != http.StatusForbidden {
			s.fault(fmt.Sprintf("enter %d %s", a.status, a.kind()))
		}
		select {
		case <-s.gone:
			return
		case <-ctx.Done():
			return
		case <-time.After(max(a.retry/4, 100*time.Millisecond)):
		}
	}
	s.fault("enter given up")
}

// prove does the little work that entering takes; nil if it cannot.
func (s *seller) prove(a *answer) map[string]any {
	var asked struct {
		Puzzle struct {
			puzzle
			Document string
		}
	}
	if json.Unmarshal(a.body, &asked) != nil {
		return nil
	}
	solution, err := s.deps.solve(&asked.Puzzle.puzzle)
	if err != nil {
		return nil
	}
	return map[string]any{"presence": map[string]string{"document": asked.Puzzle.Document, "solution": solution}}
}
