// Puzzle solver, a dedicated worker. Messages in:
//
//   {algorithm: "hashwx" or "sha256", seed: 64 hex digits, sub: 1..16, difficulty: 2..2^30, k: 1..2^24 (hashwx),
//    only: [j, ...], part: 0.., parts: 1..64}
//   {solved: j}   somebody else solved sub-puzzle j: leave it
//   {pause: true} and {pause: false}
//
// "only" names the sub-puzzles that are not solved yet (without it, all). Workers that share a puzzle get the same message
// with "parts", how many they are, and "part", their number: they try different nonces of every sub-puzzle, so that the last
// one keeps all of them busy. Messages out:
//
//   {sub: j, nonce: 16 hex digits, progress: solved, of: count}   after each sub-puzzle
//   {tried: hashes so far}                                        now and then
//   {nonces: [16 hex digits, ...]}                                in the order of "only", when none is left
//   {error: text}                                                 above all where this browser has no WebAssembly
//
// Between chunks of nonces the worker listens, so a message is heard within milliseconds. HashWX needs 'wasm-unsafe-eval' in
// the Content-Security-Policy of this script's own response. crypto.subtle is not used: it is asynchronous, slower per call
// than the hash itself, and missing outside secure contexts.
"use strict";

(function () {
  const CHUNK = 4096; // nonces between two looks at messages
  const TWO32 = 4294967296;

  // ---- SHA-256 of 44 bytes: seed, le32(index), le64(number)

  const K = new Uint32Array([
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
  ]);
  const START = new Uint32Array([
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
  ]);
  const FIXED = 9; // words of the block that stay the same while the number changes: 8 of the seed, 1 of the index

  const w = new Uint32Array(64);
  const mid = new Int32Array(8); // working variables after the first FIXED rounds
  const v = new Int32Array(8);
  const out = new Uint32Array(8); // the digest

  function swap(x) {
    return ((x & 0xff) << 24 | (x & 0xff00) << 8 | x >>> 8 & 0xff00 | x >>> 24) >>> 0;
  }

  // rounds runs rounds from..to of SHA-256 on the eight working variables in v.
  function rounds(v, from, to) {
    let a = v[0], b = v[1], c = v[2], d = v[3], e = v[4], f = v[5], g = v[6], h = v[7];
    for (let i = from; i < to; i++) {
      const t1 = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) +
        ((e & f) ^ (~e & g)) + K[i] + w[i] | 0;
      const t2 = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) +
        ((a & b) ^ (a & c) ^ (b & c)) | 0;
      h = g; g = f; f = e; e = d + t1 | 0;
      d = c; c = b; b = a; a = t1 + t2 | 0;
    }
    v[0] = a; v[1] = b; v[2] = c; v[3] = d; v[4] = e; v[5] = f; v[6] = g; v[7] = h;
  }

  // begin sets the block for a seed and an index.
  function begin(seed, index) {
    w.fill(0);
    for (let i = 0; i < 8; i++) w[i] = parseInt(seed.slice(8 * i, 8 * i + 8), 16);
    w[8] = swap(index);
    w[11] = 0x80000000;
    w[15] = 44 * 8;
    mid.set(START);
    rounds(mid, 0, FIXED);
  }

  // digest fills out for a number below 2^53.
  function digest(n) {
    w[9] = swap(n % TWO32);
    w[10] = swap(Math.floor(n / TWO32));
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] +
        ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) +
        ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
    }
    v.set(mid);
    rounds(v, FIXED, 64);
    for (let i = 0; i < 8; i++) out[i] = START[i] + v[i];
  }

  // ---- emitting WebAssembly

  const bytes = new Uint8Array(1 << 14); // of a module; a function's takes about 12 kB
  let at = 0;

  function put(...codes) {
    for (const c of codes) bytes[at++] = c;
  }

  // sized emits what body emits, after its length in five bytes.
  function sized(body) {
    const mark = at;
    at += 5;
    body();
    for (let i = 0, n = at - mark - 5; i < 5; i++, n >>>= 7) bytes[mark + i] = n & 127 | (i < 4 ? 128 : 0);
  }

  function section(id, ...codes) {
    put(id);
    sized(() => put(...codes));
  }

  const GET = 0x20, SET = 0x21, TEE = 0x22, LOAD = 0x29, STORE = 0x37, NUMBER = 0x41, LONG = 0x42;
  const ADD = 0x7c, SUB = 0x7d, MUL = 0x7e, AND = 0x83, OR = 0x84, XOR = 0x85, SHL = 0x86, SAR = 0x87, SHR = 0x88, ROR = 0x8a;
  const I32 = 0x7f, I64 = 0x7e, END = 0x0b, LOOP = [0x03, 0x40], IF = [0x04, 0x40];

  // instantiate makes a module: types and functions are sections' contents, names are one letter each, bodies emit code.
  function instantiate(types, functions, names, bodies) {
    at = 0;
    put(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
    section(1, ...types);
    section(2, 1, 1, 0x65, 1, 0x6d, 2, 1, 1, 1); // memory "e" "m" of one page, no more
    section(3, ...functions);
    section(7, names.length, ...[...names].flatMap((name, i) => [1, name.charCodeAt(0), 0, i]));
    put(10);
    sized(() => {
      put(bodies.length);
      bodies.forEach(sized);
    });
    return new WebAssembly.Instance(new WebAssembly.Module(bytes.subarray(0, at)), {e: {m: memory}}).exports;
  }

  // load pushes word i of the keys.
  function load(i) {
    put(NUMBER, 0, LOAD, 3, 0x80 + 8 * i, 0x10); // offset 2048 + 8 * i
  }

  // mix is one SipHash round on four locals.
  function mix(a, b, c, d) {
    put(GET, a, GET, b, ADD, SET, a, GET, c, GET, d, ADD, SET, c);
    put(GET, b, LONG, 51, ROR, GET, a, XOR, SET, b, GET, d, LONG, 48, ROR, GET, c, XOR, SET, d);
    put(GET, a, LONG, 32, ROR, GET, d, ADD, SET, a, GET, c, GET, b, ADD, SET, c);
    put(GET, b, LONG, 47, ROR, GET, c, XOR, SET, b, GET, d, LONG, 43, ROR, GET, a, XOR, SET, d);
    put(GET, c, LONG, 32, ROR, SET, c);
  }

  // start begins a word generator in four locals; salt pushes the salt.
  function start(a, b, c, d, ...salt) {
    [a, b, c, d].forEach((x, i) => {
      load(i);
      if (x === d) put(...salt, XOR);
      put(SET, x);
    });
    mix(a, b, c, d);
    put(GET, a, ...salt, XOR, SET, a, GET, c, LONG, 0xbb, 1, XOR, SET, c);
    for (let i = 0; i < 3; i++) mix(a, b, c, d);
  }

  // refresh turns the words in four locals into the next ones, in the locals to; they may be the same.
  function refresh(from, to) {
    from.forEach((x, i) => {
      put(GET, x);
      load(4 + i % 2);
      put(XOR, SET, to[i]);
    });
    for (let i = 0; i < 4; i++) mix(...to);
  }

  // ---- HashWX

  // Memory, one for all modules: a scratchpad of 2048 bytes; six words of keys (the generator's first state, its key); and
  // from 4096 the 512 words that define a function. WebAssembly is least significant byte first, as is every browser's host.
  let memory, keys, program, generate;
  const slots = new Uint8Array(32 * 8 * 5); // destination, source, immediate, two operations
  const orders = []; // of source registers

  // ready prepares what all functions share. It throws where there is no WebAssembly.
  function ready() {
    if (generate) return;
    memory = new WebAssembly.Memory({initial: 1, maximum: 1});
    keys = new Uint32Array(memory.buffer, 2048, 12);
    program = new Uint32Array(memory.buffer, 4096, 1024);
    const allowed = ["02467", "234567", "134567", "14567", "13567", "1367", "01357", "02"];
    (function permute(order) {
      if (order.length === 8) return void orders.push(order);
      for (const r of allowed[order.length]) if (!order.includes(r)) permute(order + r);
    })("");
    generate = instantiate([1, 0x60, 0, 0], [1, 0], "g", [() => {
      put(2, 4, I64, 1, I32);
      start(0, 1, 2, 3, LONG, 0x7f);
      put(...LOOP);
      for (let i = 0; i < 4; i++) put(GET, 4, GET, 3 - i, STORE, 3, 0x80 + 8 * i, 0x20); // offset 4096 + 8 * i
      refresh([0, 1, 2, 3], [0, 1, 2, 3]);
      put(GET, 4, NUMBER, 32, 0x6a, TEE, 4, NUMBER, 0x80, 0x20, 0x49, 0x0d, 0, END, END); // up to 4096
    }]).g;
  }

  // key sets the generator's key, and the state it begins with.
  function key(k) {
    const begins = [0x70736575, 0x736f6d65, 0x6e646f6d, 0x646f7261, 0x6e657261, 0x6c796765, 0x79746573, 0x74656462];
    for (let i = 0; i < 8; i++) keys[i] = begins[i] ^ k[i % 4];
    keys.set(k, 8);
  }

  // remainder is that of word i of the program by m; all products are exact.
  function remainder(i, m) {
    return (program[2 * i + 1] % m * (TWO32 % m) + program[2 * i] % m) % m;
  }

  // decode turns a program's 16 words into slots.
  function decode(p) {
    const x = 16 * p, to = [0];
    for (let i = 1; i < 8; i++) {
      const q = program[2 * (x + i - 1) + 1] % (i + 1);
      to[i] = to[q];
      to[q] = i;
    }
    const order = orders[remainder(x + 7, 625)];
    for (let j = 0; j < 8; j++) {
      const t = program[2 * (x + j - 1)], n = x + 8 + j, s = 5 * (8 * p + j);
      slots[s] = 1 + to[j];
      slots[s + 1] = 1 + (j ? to[order[j]] : 8 + program[2 * (x + 7)] % 2);
      if (j === 0) {
        slots[s + 2] = 1 + remainder(n, 63);
      } else if (j % 2) {
        const shift = [ROR, SAR, SHR][t % 9 / 3 | 0];
        slots.set([1 + remainder(n, shift === ROR ? 63 : 3), shift, [XOR, ADD, SUB][t % 3]], s + 2);
      } else {
        slots.set([[1, 9, 33][remainder(n, 3)], [OR, XOR, ADD][t % 3], MUL], s + 2);
      }
    }
  }

  const LEFT = 11; // the local that counts restarts; local 0 is the nonce, 1 to 10 are R0 to R9

  // slot emits one slot. In memory mode the operand of all but the first comes from the scratchpad.
  function slot(s, first, fromMemory) {
    const to = slots[s], from = slots[s + 1], n = slots[s + 2];
    if (first) return put(GET, to, GET, from, MUL, LONG, n, ROR, SET, to);
    put(GET, to, LONG, n, slots[s + 3], GET, from);
    if (fromMemory) put(0xa7, NUMBER, 0xf8, 0x0f, 0x71, LOAD, 3, 0); // & 2040
    put(slots[s + 4], SET, to);
  }

  function emitProgram(p, fromMemory) {
    const s = 40 * p;
    put(...LOOP);
    for (let j = 0; j < 7; j++) slot(s + 5 * j, !j, fromMemory);
    put(GET, LEFT, ...IF, GET, slots[s], LONG, 32, AND, 0x50, ...IF);
    put(GET, LEFT, NUMBER, 1, 0x6b, SET, LEFT, 0x0c, 2, END, END, END);
    slot(s + 35, false, fromMemory);
  }

  function emitHash() {
    put(2, 10, I64, 1, I32);
    start(4, 3, 2, 1, GET, 0);
    refresh([4, 3, 2, 1], [8, 7, 6, 5]);
    put(GET, 5, LONG, 0x78, AND, LONG, 3, OR, SET, 9, GET, 8, LONG, 0x78, AND, LONG, 5, OR, SET, 10);
    put(NUMBER, 32, SET, LEFT);
    for (let p = 0; p < 32; p++) {
      emitProgram(p, false);
      for (let j = 0; j < 8; j++) {
        const to = 2040 - 64 * p - 8 * j;
        put(NUMBER, 0, GET, 1 + j, STORE, 3, to & 127 | 128, to >> 7);
      }
    }
    put(NUMBER, 32, SET, LEFT);
    for (let p = 0; p < 32; p++) emitProgram(p, true);
    mix(1, 2, 3, 4);
    mix(5, 6, 7, 8);
    put(GET, 4, GET, 8, XOR, GET, 10, XOR, END);
  }

  // emitSearch: (startLow, startHigh, count, targetLow, targetHigh) to the offset of the first hit, or -1. It calls the hash
  // for each nonce: an engine enters its optimised code at a call, never in the middle of a loop.
  function emitSearch() {
    put(2, 2, I64, 1, I32); // 5 the first nonce, 6 the target, 7 the offset
    for (const [low, high, to] of [[0, 1, 5], [3, 4, 6]]) put(GET, high, 0xad, LONG, 32, SHL, GET, low, 0xad, OR, SET, to);
    put(...LOOP, GET, 5, GET, 7, 0xad, ADD, 0x10, 0, GET, 6, 0x54, ...IF, GET, 7, 0x0f, END);
    put(GET, 7, NUMBER, 1, 0x6a, TEE, 7, GET, 2, 0x49, 0x0d, 0, END, NUMBER, 0x7f, END);
  }

  // compile makes the function of a seed, eight words as SHA-256 has them: {h: hash, s: search}.
  function compile(seed) {
    ready();
    const k = seed.map(swap);
    key(k.subarray(0, 4));
    generate();
    for (let p = 0; p < 32; p++) decode(p);
    key(k.subarray(4));
    return instantiate([2, 0x60, 1, I64, 1, I64, 0x60, 5, I32, I32, I32, I32, I32, 1, I32], [2, 0, 1], "hs",
      [emitHash, emitSearch]);
  }

  // ---- searching

  // Each kind of work deals its nonces out in blocks: open readies block f and returns the search in it.
  const kinds = {
    sha256: {
      block: () => CHUNK,
      open: () => (from, count, limit) => {
        for (let i = 0; i < count; i++) {
          digest(from + i);
          if (out[0] < limit[1] || (out[0] === limit[1] && out[1] < limit[0])) return i;
        }
        return -1;
      },
    },
    hashwx: {
      block: (m) => m.k,
      open: (f) => {
        digest(f);
        const search = compile(out).s;
        return (from, count, limit) => search(from % TWO32, from / TWO32, count, limit[0], limit[1]);
      },
    },
  };

  // target is floor(2^64 / difficulty) as [low, high]; every intermediate value is exact in a double.
  function target(difficulty) {
    const upper = TWO32 % difficulty * 65536;
    return [Math.floor(upper / difficulty) * 65536 + Math.floor(upper % difficulty * 65536 / difficulty),
      Math.floor(TWO32 / difficulty)];
  }

  function hex(n) {
    const word = (x) => ("0000000" + x.toString(16)).slice(-8);
    return word(Math.floor(n / TWO32)) + word(n % TWO32);
  }

  let open = []; // sub-puzzles that nobody has solved yet
  let paused = false;
  let resume = () => {};
  let tried = 0;

  // listen lets messages in, and waits while paused.
  async function listen(channel) {
    do {
      await new Promise((done) => {
        resume = done;
        if (paused) return;
        channel.port1.onmessage = done;
        channel.port2.postMessage(0);
      });
    } while (paused);
  }

  // find returns the nonce of sub-puzzle j, or -1 when somebody else was faster.
  async function find(m, j, limit, channel) {
    const kind = kinds[m.algorithm], size = kind.block(m);
    begin(m.seed, j);
    for (let f = m.part; ; f += m.parts) {
      const search = kind.open(f);
      for (let done = 0; done < size; done += CHUNK) {
        const count = Math.min(CHUNK, size - done), from = f * size + done;
        const hit = search(from, count, limit);
        tried += hit < 0 ? count : hit + 1;
        if (hit >= 0) return from + hit;
        await listen(channel);
        if (!open.includes(j)) return -1;
      }
      self.postMessage({tried: tried});
    }
  }

  async function solve(m) {
    const all = m.only || Array.from({length: m.sub}, (_, j) => j);
    const limit = target(m.difficulty), channel = new MessageChannel(), nonces = {};
    open = all.slice();
    for (let j = open[m.part % open.length]; open.length; j = open[0]) {
      const n = await find(m, j, limit, channel);
      if (n < 0) continue;
      open = open.filter((i) => i !== j);
      nonces[j] = hex(n);
      self.postMessage({sub: j, nonce: nonces[j], progress: all.length - open.length, of: all.length});
    }
    channel.port1.close();
    self.postMessage({tried: tried});
    self.postMessage({nonces: all.map((j) => nonces[j])});
  }

  // ---- messages

  function whole(x, least, most) {
    return Number.isInteger(x) && x >= least && x <= most;
  }

  function check(m) {
    if (!kinds.hasOwnProperty(m.algorithm)) return "unknown algorithm";
    if (typeof m.seed !== "string" || !/^[0-9a-f]{64}$/.test(m.seed)) return "seed: expected 64 hex digits";
    if (!whole(m.sub, 1, 16)) return "sub: expected 1 to 16";
    if (!whole(m.difficulty, 2, 1 << 30)) return "difficulty: expected 2 to 2^30";
    if (m.algorithm === "hashwx" && !whole(m.k, 1, 1 << 24)) return "k: expected 1 to 2^24";
    if (m.only !== undefined && !(Array.isArray(m.only) && m.only.length && m.only.every((j) => whole(j, 0, m.sub - 1)))) {
      return "only: expected indexes below sub";
    }
    return whole(m.parts, 1, 64) && whole(m.part, 0, m.parts - 1) ? "" : "part: expected below parts, up to 64";
  }

  self.onmessage = function (event) {
    const m = Object.assign({part: 0, parts: 1}, event.data);
    if (m.pause !== undefined) {
      paused = m.pause;
      return void resume();
    }
    if (m.solved !== undefined) {
      open = open.filter((j) => j !== m.solved);
      return;
    }
    const wrong = check(m);
    if (wrong) self.postMessage({error: wrong});
    else solve(m).catch((e) => self.postMessage({error: String(e)}));
  };

  self.compile = compile; // for tests
})();
