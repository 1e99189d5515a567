package browser_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"fairgate/botguard/puzzle"
	"fairgate/botguard/puzzle/browser"
)

// harness runs the worker script outside a browser: it stands in for the worker's global and prints what is posted.
const harness = `
const [,, script, message] = process.argv;
globalThis.self = {postMessage: (m) => console.log(JSON.stringify(m))};
(0, eval)(script);
self.onmessage({data: JSON.parse(message)});
`

type reply struct {
	Progress int      `json:"progress"`
	Of       int      `json:"of"`
	Nonces   []string `json:"nonces"`
	Error    string   `json:"error"`
}

// run gives the worker one message and returns all replies. It skips where there is no node.
func run(t *testing.T, message map[string]any) []reply {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	script, err := browser.Files.ReadFile(browser.Solver)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, node, "-e", harness, "--", "harness", string(script), string(body)).Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	var replies []reply
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r reply
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		replies = append(replies, r)
	}
	return replies
}

func TestSolver_FindsTheSameNoncesAsGo(t *testing.T) {
	for i, difficulty := range []uint32{2, 3, 4999, 20000} {
		seed := sha256.Sum256([]byte{byte(i)})
		p := puzzle.Params{Algorithm: puzzle.SHA256ID, SubPuzzles: 4, Difficulty: difficulty}
		solution, err := puzzle.SHA256{}.Solve(seed, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := puzzle.FormatNonces(solution)
		message := map[string]any{
			"algorithm": "sha256", "seed": hex.EncodeToString(seed[:]), "sub": 4, "difficulty": difficulty,
		}
		got := run(t, message)
		if len(got) != 5 || !reflect.DeepEqual(got[4].Nonces, want) || got[2].Progress != 3 || got[2].Of != 4 {
			t.Fatalf("difficulty %d: %+v, want %v", difficulty, got, want)
		}
		message["only"] = []int{3, 1}
		got = run(t, message)
		if len(got) != 3 || !reflect.DeepEqual(got[2].Nonces, []string{want[3], want[1]}) {
			t.Fatalf("difficulty %d, two of four: %+v, want %v", difficulty, got, want)
		}
	}
}

func TestSolver_WrongMessageIsAnError(t *testing.T) {
	seed := hex.EncodeToString(make([]byte, 32))
	for name, message := range map[string]map[string]any{
		"algorithm":  {"algorithm": "md5", "seed": seed, "sub": 1, "difficulty": 2},
		"seed":       {"algorithm": "sha256", "seed": seed[1:], "sub": 1, "difficulty": 2},
		"sub":        {"algorithm": "sha256", "seed": seed, "sub": 17, "difficulty": 2},
		"difficulty": {"algorithm": "sha256", "seed": seed, "sub": 1, "difficulty": 1.5},
		"only":       {"algorithm": "sha256", "seed": seed, "sub": 1, "difficulty": 2, "only": []int{1}},
	} {
		if got := run(t, message); len(got) != 1 || got[0].Error == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
