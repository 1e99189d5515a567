package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"fairgate/botguard/puzzle"
	"fairgate/botguard/puzzle/browser"
	"fairgate/internal/embedded/testchrome"
)

// pagePolicy is the waiting page's: no 'wasm-unsafe-eval', which only the worker's own response has.
const pagePolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'"

// pageScript shares a puzzle between workers as the waiting page does. It returns the nonces, or an error's text.
const pageScript = `
function solve(message, parts) {
  return new Promise((done) => {
    const nonces = [], workers = [];
    const end = (result) => { workers.forEach((w) => w.terminate()); done(result); };
    for (let part = 0; part < parts; part++) {
      const w = new Worker("/solver.js");
      workers.push(w);
      w.onmessage = (e) => {
        if (e.data.error) return end([e.data.error]);
        const j = e.data.sub;
        if (j === undefined || nonces[j]) return;
        nonces[j] = e.data.nonce;
        if (Object.keys(nonces).length === message.sub) return end(nonces);
        workers.forEach((o) => o.postMessage({solved: j}));
      };
      w.onerror = (e) => end([String(e.message)]);
      w.postMessage(Object.assign({part: part, parts: parts}, message));
    }
  });
}

function vectors(pairs) {
  return new Promise((done) => {
    const w = new Worker("/vectors.js");
    w.onmessage = (e) => done(e.data);
    w.onerror = (e) => done([String(e.message)]);
    w.postMessage({pairs: pairs});
  });
}

let tried = 0;

// begin starts a worker and waits for its first report; afterwards tried goes up.
function begin(message) {
  return new Promise((done) => {
    const w = new Worker("/solver.js");
    w.onmessage = (e) => {
      tried = e.data.error ? -1 : e.data.tried;
      done(tried);
    };
    w.postMessage(message);
  });
}

function upTo(hashes) {
  return new Promise((done) => {
    const look = () => tried >= hashes ? done([tried, performance.now()]) : setTimeout(look, 1);
    look();
  });
}
`

// vectorScript is a worker that hashes with the solver's own functions.
const vectorScript = `
importScripts("/solver.js");
self.onmessage = (e) => self.postMessage(e.data.pairs.map(([seed, nonce]) => {
  const words = new Uint32Array(8).map((_, i) => parseInt(seed.slice(8 * i, 8 * i + 8), 16));
  const hash = self.compile(words).h(BigInt.asIntN(64, BigInt(nonce)));
  return BigInt.asUintN(64, hash).toString(16).padStart(16, "0");
}));
`

// chrome opens a page whose workers are served with a policy.
func chrome(t testing.TB, policy string) context.Context {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(at, kind, policy, body string) {
		mux.HandleFunc(at, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Security-Policy", policy)
			_, _ = w.Write([]byte(body))
		})
	}
	serve("/{$}", "text/html", pagePolicy, `<!doctype html><title>solver</title><script src="/page.js"></script>`)
	serve("/page.js", "text/javascript", pagePolicy, pageScript)
	serve("/solver.js", "text/javascript", policy, script(t))
	serve("/vectors.js", "text/javascript", policy, vectorScript)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	p := testchrome.Open(t).Person(800, 600)
	p.Opens(server.URL)
	ctx, end := context.WithTimeout(p.Context, 2*time.Minute)
	t.Cleanup(end)
	return ctx
}

// call calls a function of the page's script and waits for what it promises.
func call[T any](t testing.TB, ctx context.Context, function string, arguments ...any) T {
	t.Helper()
	text := make([]string, len(arguments))
	for i, a := range arguments {
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		text[i] = string(b)
	}
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](function+"("+strings.Join(text, ", ")+")", chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", function, err)
	}
	return v
}

func TestChromium_VectorsHold(t *testing.T) {
	ctx := chrome(t, browser.Policy)
	pairs, want := vectors(t)
	if got := call[[]string](t, ctx, "vectors", pairs); !reflect.DeepEqual(got, want) {
		t.Errorf("hashes %v, want %v", got, want)
	}
}

func TestChromium_SharedPuzzlesAreSolvedAsGoVerifies(t *testing.T) {
	ctx := chrome(t, browser.Policy)
	set := algorithms(t)
	for i, p := range []puzzle.Params{
		{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 32768, Difficulty: 90_000}, // the default
		{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 32768, Difficulty: 90_000},
		{Algorithm: puzzle.HashWXID, SubPuzzles: 4, K: 463, Difficulty: 2_000},
		{Algorithm: puzzle.HashWXID, SubPuzzles: 16, K: 100, Difficulty: 2},
		{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: 32768, Difficulty: 90_000},
		{Algorithm: puzzle.SHA256ID, SubPuzzles: 4, K: 32768, Difficulty: 20_000},
	} {
		for _, workers := range []int{1, 3} {
			seed := seedOf(fmt.Sprint("chromium", i, workers))
			nonces := call[[]string](t, ctx, "solve", ask(seed, p), workers)
			solution, err := puzzle.ParseNonces(p, nonces)
			if err != nil {
				t.Fatalf("%+v by %d workers: %v, %v", p, workers, nonces, err)
			}
			if err := set.Verify(seed, p, solution); err != nil {
				t.Errorf("%+v by %d workers: %v", p, workers, err)
			}
		}
	}
}

func TestChromium_WithoutThePolicyTheSolverSaysSo(t *testing.T) {
	ctx := chrome(t, pagePolicy)
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: 100, Difficulty: 2}
	got := call[[]string](t, ctx, "solve", ask(seedOf("policy"), p), 2)
	if len(got) != 1 || !strings.Contains(got[0], "CompileError") {
		t.Errorf("%v", got)
	}
}

// BenchmarkSolver_Chromium is the rate of one worker in chromium at the default K, compiling included: by the clock, and by
// the processor time of the worker's own thread, which what else the machine does disturbs less.
func BenchmarkSolver_Chromium(b *testing.B) {
	const turn = 2_000_000 // hashes
	p := puzzle.Params{Algorithm: puzzle.HashWXID, SubPuzzles: 1, K: 32768, Difficulty: puzzle.MaxDifficulty}
	ctx := chrome(b, browser.Policy)
	if call[float64](b, ctx, "begin", ask(seedOf("bench"), p)) <= 0 {
		b.Fatal("the solver failed")
	}
	var clock, processor, hashes float64
	first := call[[2]float64](b, ctx, "upTo", 0)
	began := workerTime(b)
	for b.Loop() {
		last := call[[2]float64](b, ctx, "upTo", first[0]+turn)
		ended := workerTime(b)
		hashes, clock = hashes+last[0]-first[0], clock+(last[1]-first[1])/1000
		processor += (ended - began).Seconds()
		first, began = last, ended
	}
	b.ReportMetric(hashes/clock, "bench:puzzle.browser:hashes/s")
	b.ReportMetric(hashes/processor, "bench:puzzle.browser-core:hashes/s")
}

// workerTime is the processor time of the worker threads of the browsers that this process started.
func workerTime(b *testing.B) time.Duration {
	b.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*/comm")
	if err != nil {
		b.Fatal(err)
	}
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that runs Go
	var sum time.Duration
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err != nil || !strings.HasPrefix(string(comm), "DedicatedWorker") || !descends(strings.Split(name, "/")[2]) {
			continue // it may have ended meanwhile
		}
		if fields := statOf(filepath.Dir(name)); len(fields) > 12 {
			user, _ := strconv.Atoi(fields[11])
			system, _ := strconv.Atoi(fields[12])
			sum += time.Duration(user+system) * tick
		}
	}
	return sum
}

// statOf is what follows the name in a process's or thread's stat: state, parent, ...
func statOf(folder string) []string {
	text, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// descends says whether a process comes from this one.
func descends(pid string) bool {
	own := strconv.Itoa(os.Getpid())
	for range 20 {
		fields := statOf("/proc/" + pid)
		if len(fields) < 2 {
			return false
		}
		if pid = fields[1]; pid == own {
			return true
		}
	}
	return false
}
