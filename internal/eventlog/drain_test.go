package eventlog

import (
	"errors"
	"testing"
)

// offsets is a record set whose records have these offsets: one batch for each run.
func offsets(at ...int64) (set []byte) {
	for len(at) > 0 {
		n := 1
		for n < len(at) && at[n] == at[0]+int64(n) {
			n++
		}
		set = append(set, ours(at[0], some(n)...)...)
		at = at[n:]
	}
	return set
}

func TestTail_HoleIsAGapAndNothingBehindItIsReturned(t *testing.T) {
	l, err := New(Config{Brokers: []string{"127.0.0.1:1"}}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, tc := range map[string]struct {
		next int64
		in   []byte
		want int
		gap  bool
	}{
		"dense":                 {5, offsets(5, 6, 7), 3, false},
		"begins before":         {5, offsets(3, 4, 5, 6), 2, false},
		"all before":            {5, offsets(3, 4), 0, false},
		"nothing":               {5, offsets(), 0, false},
		"begins behind":         {5, offsets(6, 7), 0, true},
		"hole inside":           {5, offsets(5, 7), 0, true},
		"hole before the start": {5, offsets(2, 4, 5), 1, false},
	} {
		tail := l.Tail("t", 0, tc.next, TailConfig{})
		got, err := tail.drain(tc.in)
		if errors.Is(err, ErrGap) != tc.gap || len(got) != tc.want {
			t.Errorf("%s: %v %v", name, got, err)
		}
		if want := tc.next + int64(tc.want); tail.Next() != want {
			t.Errorf("%s: next is %d, want %d", name, tail.Next(), want)
		}
	}
}

func FuzzDecodeTopicID(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1, 0})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		res, err := decodeTopicID(body, "orders")
		if (res == nil) == (err == nil) {
			t.Fatalf("%v, %v", res, err)
		}
	})
}

func FuzzScramChallenge(f *testing.F) {
	f.Add([]byte("r=nonce,s=c2FsdA==,i=4096"))
	f.Add([]byte("e=other-error"))
	f.Add([]byte("v=AAAA"))
	f.Fuzz(func(t *testing.T, challenge []byte) {
		machine, _, err := saslFor(Config{SASLUser: "u", SASLPassword: "p", SASLMechanism: saslScram256}).Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if done, _, err := machine.Next(t.Context(), challenge); done && err == nil {
			t.Fatal("logged in without the broker's proof")
		}
	})
}
