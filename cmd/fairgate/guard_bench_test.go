package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"fairgate/botguard"
	"fairgate/botguard/puzzle"
	"fairgate/internal/conf"
	"fairgate/internal/wire"
	"fairgate/waitingroom"
	"fairgate/waitingroom/token"
)

// joins is what a join's check works with: the guard as the edge has it, keys, and challenges of different visitors from
// different addresses, each with a solution of the default puzzle, only cheap.
type joins struct {
	guard      fanGuard
	keys       *token.Keys
	now        int64
	challenges [][]byte
	solutions  [][]byte
	dear       [][]byte // challenges that no junk solves by chance
	visitors   []wire.ID
}

func newJoins(b *testing.B) *joins {
	b.Helper()
	guard, err := botguard.New(botguard.Config{
		Secret: conf.Secret("0123456789abcdef0123456789abcdef"), Puzzle: botguard.PuzzleConfig{Difficulty: puzzle.MinDifficulty},
	}, botguard.Deps{})
	okay(b, err)
	var secret [32]byte
	_, err = rand.Read(secret[:])
	okay(b, err)
	keys, err := token.NewKeys([]token.Key{{ID: 1, Secret: secret}})
	okay(b, err)
	j := &joins{guard: fanGuard{guard}, keys: keys, now: time.Now().UnixMicro()}
	base, hashwx := guard.Base(), puzzle.NewHashWX()
	price := token.Price{Algorithm: base.Algorithm, SubPuzzles: base.SubPuzzles, K: base.K, Difficulty: base.Difficulty}
	most := price
	most.Difficulty = puzzle.MaxDifficulty
	for i := range uint64(1000) {
		var id wire.ID
		binary.BigEndian.PutUint64(id[:], i+1)
		place := wire.Place{Room: 1, Instant: j.now, Visitor: id, Narrow: i, Wide: i, Random: id}
		signed, err := keys.MintChallenge(place, price)
		okay(b, err)
		dear, err := keys.MintChallenge(place, most)
		okay(b, err)
		ch, _, _, err := wire.ParseChallenge(signed)
		okay(b, err)
		solution, err := hashwx.Solve(ch.Seed(), base, nil)
		okay(b, err)
		j.challenges, j.solutions, j.visitors = append(j.challenges, signed), append(j.solutions, solution), append(j.visitors, id)
		j.dear = append(j.dear, dear)
	}
	return j
}

func okay(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// check is all that a join costs an edge before it mints the token: limits and risk, signature, expiry, binding, work.
func (j *joins) check(ctx context.Context, i int, challenges [][]byte, solution []byte) error {
	n := i % len(challenges)
	visit := waitingroom.Visit{
		Action: waitingroom.ActionJoin, Address: netip.AddrFrom4([4]byte{byte(i >> 16), byte(i >> 8), byte(i), 7}),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", AcceptLanguage: "en", Visitor: j.visitors[n], Returning: true,
	}
	j.guard.Judge(ctx, visit)
	ch, err := j.keys.VerifyChallenge(challenges[n], 1, j.visitors[n], j.now, 0)
	if err != nil {
		return err
	}
	price := token.Price{Algorithm: ch.Algorithm, SubPuzzles: ch.Sub, K: ch.K, Difficulty: ch.Difficulty}
	if err := j.guard.Check(ch.Seed(), price, solution); err != nil {
		j.guard.Failed(visit)
		return err
	}
	return nil
}

// used is the processor time of this process: the rates below are those of one core, whatever else the machine does.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	okay(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGuard_JoinCheck is the full check of an honest join: four sub-puzzles.
func BenchmarkGuard_JoinCheck(b *testing.B) {
	j := newJoins(b)
	ctx, began := b.Context(), used(b)
	for i := 0; b.Loop(); i++ {
		okay(b, j.check(ctx, i, j.challenges, j.solutions[i%len(j.solutions)]))
	}
	b.ReportMetric(float64(b.N)/(used(b)-began).Seconds(), "bench:guard.join:joins/s")
}

// BenchmarkGuard_JunkCheck is the full check of a join whose solution is junk, and what it costs beside an honest one: one
// sub-puzzle of four.
func BenchmarkGuard_JunkCheck(b *testing.B) {
	j := newJoins(b)
	junk := make([]byte, 8*int(j.guard.Base().SubPuzzles))
	var honest, foul time.Duration
	ctx := b.Context()
	for i := 0; b.Loop(); i++ {
		const turn = 500
		began := used(b)
		for n := range turn {
			okay(b, j.check(ctx, turn*i+n, j.challenges, j.solutions[(turn*i+n)%len(j.solutions)]))
		}
		middle := used(b)
		for n := range turn {
			if j.check(ctx, turn*i+n, j.dear, junk) == nil {
				b.Fatal("junk was taken")
			}
		}
		honest, foul = honest+middle-began, foul+used(b)-middle
	}
	b.ReportMetric(foul.Seconds()/honest.Seconds(), "ratio:guard.junk")
}
