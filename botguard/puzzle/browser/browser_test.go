package browser_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"fairgate/botguard/puzzle"
	"fairgate/botguard/puzzle/browser"
)

// harness runs the worker script outside a browser: it stands in for the worker's global and prints what is posted. The
// worker gets all messages before it listens for the first time. vectors are pairs of seed and nonce whose hashes are
// printed; without names a global that this device does not have; ends is when to stop, ms.
const harness = `
globalThis.self = {postMessage: (m) => console.log(JSON.stringify(m))};
const input = JSON.parse(require("fs").readFileSync(0));
if (input.without) delete globalThis[input.without];
(0, eval)(input.script);
for (const [seed, nonce] of input.vectors || []) {
  const words = new Uint32Array(8).map((_, i) => parseInt(seed.slice(8 * i, 8 * i + 8), 16));
  const hash = self.compile(words).h(BigInt.asIntN(64, BigInt(nonce)));
  self.postMessage({hash: BigInt.asUintN(64, hash).toString(16).padStart(16, "0")});
}
for (const m of input.messages || []) self.onmessage({data: m});
if (input.ends) setTimeout(() => process.exit(0), input.ends);
`

// message is what the worker is told; zero values are left out.
type message map[string]any

type reply struct {
	Sub      *int     `json:"sub"`
	Nonce    string   `json:"nonce"`
	Progress int      `json:"progress"`
	Of       int      `json:"of"`
	Tried    int      `json:"tried"`
	Nonces   []string `json:"nonces"`
	Error    string   `json:"error"`
	Hash     string   `json:"hash"`
}

func script(t testing.TB) string {
	t.Helper()
	b, err := browser.Files.ReadFile(browser.Solver)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// node runs the harness and returns all replies. It skips where there is no node, and fails there if CI is set.
func node(t *testing.T, input map[string]any) (replies []reply) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is not installed")
		}
		t.Skip("node is not installed")
	}
	input["script"] = script(t)
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-e", harness)
	cmd.Stdin = bytes.NewReader(body)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r reply
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		replies = append(replies, r)
	}
	return replies
}

// run gives the worker messages.
func run(t *testing.T, messages ...message) []reply {
	t.Helper()
	return node(t, map[string]any{"messages": messages})
}

func seedOf(s string) [32]byte { return sha256.Sum256([]byte(s)) }

// ask is the message that poses a puzzle.
func ask(seed [32]byte, p puzzle.Params) message {
	m := message{"seed": hex.EncodeToString(seed[:]), "sub": p.SubPuzzles, "difficulty": p.Difficulty, "k": p.K}
	m["algorithm"] = "sha256"
	if p.Algorithm == puzzle.HashWXID {
		m["algorithm"] = "hashwx"
	}
	return m
}

func algorithms(t testing.TB) puzzle.Set {
	t.Helper()
	set, err := puzzle.NewSet(puzzle.SHA256{}, puzzle.NewHashWX())
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// vectors are the published ones, and ours: seed and nonce, and the hash.
func vectors(t *testing.T) (pairs [][2]string, hashes []string) {
	t.Helper()
	f, err := os.Open("../testdata/vectors.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 60 {
		t.Fatal(len(rows), err)
	}
	for _, row := range rows[1:] {
		pairs = append(pairs, [2]string{row[1], row[2]})
		hashes = append(hashes, row[5])
	}
	return pairs, hashes
}

func TestSolver_VectorsHold(t *testing.T) {
	pairs, want := vectors(t)
	var got []string
	for _, r := range node(t, map[string]any{"vectors": pairs}) {
		got = append(got, r.Hash)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("hashes %v, want %v", got, want)
	}
}

// prices are puzzles of both kinds, cheap and odd ones too.
var prices = []puzzle.Params{
	{Algorithm: puzzle.SHA256ID, SubPuzzles: 4, Difficulty: 2},
	{Algorithm: puzzle.SHA256ID, SubPuzzles: 4, Difficulty: 20_000},
	{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 463, Difficulty: 3},
	{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 1, Difficulty: 7},
	{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 5_000, Difficulty: 9_999},
	{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 1 << 24, Difficulty: 5_000},
}

func TestSolver_FindsTheSameNoncesAsGo(t *testing.T) {
	set := algorithms(t)
	for _, p := range prices {
		seed := seedOf("same")
		solution, err := set.Solve(seed, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := puzzle.FormatNonces(solution)
		m := ask(seed, p)
		got := run(t, m)
		if last := got[len(got)-1]; !reflect.DeepEqual(last.Nonces, want) {
			t.Fatalf("%+v: %+v, want %v", p, last, want)
		}
		m["only"] = []int{3, 1}
		got = run(t, m)
		if last := got[len(got)-1]; !reflect.DeepEqual(last.Nonces, []string{want[3], want[1]}) {
			t.Fatalf("%+v, two of four: %+v, want %v", p, last, want)
		}
	}
}

func TestSolver_TellsEachHitAndWhatItTried(t *testing.T) {
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 3, K: 1000, Difficulty: 4000}
	var nonces []string
	tried, hits := 0, 0
	for _, r := range run(t, ask(seedOf("tells"), p)) {
		switch {
		case r.Sub != nil:
			if hits++; *r.Sub != hits-1 || r.Progress != hits || r.Of != 3 {
				t.Errorf("hit %d: %+v", hits, r)
			}
			nonces = append(nonces, r.Nonce)
		case r.Nonces != nil:
			if !reflect.DeepEqual(r.Nonces, nonces) {
				t.Errorf("in the end %v, one by one %v", r.Nonces, nonces)
			}
		default:
			if r.Tried < tried {
				t.Errorf("tried %d, then %d", tried, r.Tried)
			}
			tried = r.Tried
		}
	}
	// The smallest nonces are found in order, so they say how many were tried before them.
	want := 0
	for _, n := range nonces {
		b, err := puzzle.ParseNonces(puzzle.Params{SubPuzzles: 1}, []string{n})
		if err != nil {
			t.Fatal(err)
		}
		want += int(b[0]) + int(b[1])<<8 + int(b[2])<<16 + 1
	}
	if hits != 3 || tried != want {
		t.Errorf("%d hits, %d tried, want %d", hits, tried, want)
	}
}

func TestSolver_PartsTryDifferentNonces(t *testing.T) {
	set := algorithms(t)
	for _, p := range prices[1:] {
		if p.K == 1<<24 {
			continue // one function has it all
		}
		size := uint64(max(p.K, 1))
		if p.Algorithm == puzzle.SHA256ID {
			size = 4096
		}
		p.Difficulty = max(p.Difficulty, uint32(size)/2)
		for part := range 3 {
			seed := seedOf("parts")
			m := ask(seed, p)
			m["part"], m["parts"] = part, 3
			got := run(t, m)
			solution, err := puzzle.ParseNonces(p, got[len(got)-1].Nonces)
			if err != nil {
				t.Fatal(err)
			}
			if err := set.Verify(seed, p, solution); err != nil {
				t.Errorf("%+v part %d: %v", p, part, err)
			}
			for j := range 4 {
				n := uint64(0)
				for i := range 8 {
					n |= uint64(solution[8*j+i]) << (8 * i)
				}
				if n/size%3 != uint64(part) {
					t.Errorf("%+v part %d tried nonce %d", p, part, n)
				}
			}
		}
	}
}

func TestSolver_LeavesWhatSomebodyElseSolved(t *testing.T) {
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 2, K: 4096, Difficulty: puzzle.MaxDifficulty}
	got := run(t, ask(seedOf("left"), p), message{"solved": 0}, message{"solved": 1})
	if last := got[len(got)-1]; len(last.Nonces) != 2 || last.Nonces[0] != "" || last.Error != "" {
		t.Errorf("%+v", got)
	}
}

func TestSolver_PausedItTriesNothing(t *testing.T) {
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 2, K: 512, Difficulty: 3_000}
	got := node(t, map[string]any{"messages": []message{ask(seedOf("pause"), p), {"pause": true}}, "ends": 700})
	if len(got) > 1 { // a report of what was tried before it listened
		t.Errorf("while paused: %+v", got)
	}
	got = run(t, ask(seedOf("pause"), p), message{"pause": true}, message{"pause": false})
	if last := got[len(got)-1]; len(last.Nonces) != 2 {
		t.Errorf("gone on: %+v", got)
	}
}

func TestSolver_WrongMessageIsAnError(t *testing.T) {
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: 1, Difficulty: 2}
	for key, value := range map[string]any{
		"algorithm": "md5", "seed": strings.Repeat("0", 63), "sub": 17, "difficulty": 1.5, "k": 0, "only": []int{1}, "part": 1,
		"parts": 65,
	} {
		m := ask(seedOf("wrong"), p)
		m[key] = value
		if got := run(t, m); len(got) != 1 || got[0].Error == "" {
			t.Errorf("%s: %+v", key, got)
		}
	}
}

func TestSolver_WithoutWebAssemblySaysSo(t *testing.T) {
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: 1, Difficulty: 2}
	got := node(t, map[string]any{"without": "WebAssembly", "messages": []message{ask(seedOf("none"), p)}})
	if len(got) != 1 || !strings.Contains(got[0].Error, "WebAssembly") {
		t.Errorf("%+v", got)
	}
}

// maxPacked is how many bytes of solver a phone may be asked to load, compressed; it comes after the page.
const maxPacked = 7 << 10

func TestSolver_IsSmall(t *testing.T) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(script(t)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, %d compressed", len(script(t)), out.Len())
	if out.Len() > maxPacked {
		t.Errorf("%d bytes compressed, expected at most %d", out.Len(), maxPacked)
	}
}
