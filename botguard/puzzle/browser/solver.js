// Puzzle solver, a dedicated worker. One message in:
//
//   {algorithm: "sha256", seed: 64 hex digits, sub: 1..16, difficulty: 2..2^30, only: [j, ...] (optional)}
//
// "only" names the sub-puzzles that this worker solves, so that several can share one puzzle; without it, all of them.
// Messages out: {progress: solved, of: count} after each sub-puzzle, then {nonces: [16 hex digits, ...]} in the order
// of "only", or {error: text}. To stop the search, terminate the worker: the search is synchronous, since crypto.subtle is
// asynchronous (slower per hash than the hash itself) and missing outside secure contexts.
"use strict";

(function () {
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
  const FIXED = 9; // words of the block that stay the same while the nonce changes: 8 of the seed, 1 of the index
  const MAX_HIGH = 0x200000; // nonces stay below 2^53

  const w = new Uint32Array(64);
  const mid = new Int32Array(8); // working variables after the first FIXED rounds
  const out = new Uint32Array(2); // first 64 bits of the digest

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

  const v = new Int32Array(8);

  // hash fills out from the nonce, given w[0..8] and mid.
  function hash(low, high) {
    w[9] = swap(low);
    w[10] = swap(high);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] +
        ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3) +
        ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
    }
    v.set(mid);
    rounds(v, FIXED, 64);
    out[0] = START[0] + v[0];
    out[1] = START[1] + v[1];
  }

  // begin sets the block for a seed and a sub-puzzle: seed, le32(index), le64(nonce), padding for 44 bytes.
  function begin(seed, index) {
    w.fill(0);
    for (let i = 0; i < 8; i++) {
      w[i] = parseInt(seed.slice(8 * i, 8 * i + 8), 16);
    }
    w[8] = swap(index);
    w[11] = 0x80000000;
    w[15] = 44 * 8;
    mid.set(START);
    rounds(mid, 0, FIXED);
  }

  // target is floor(2^64 / difficulty) as [high, low]; every intermediate value is exact in a double.
  function target(difficulty) {
    const two32 = 4294967296;
    const high = Math.floor(two32 / difficulty);
    const r1 = (two32 % difficulty) * 65536;
    const upper = Math.floor(r1 / difficulty);
    const lower = Math.floor((r1 % difficulty) * 65536 / difficulty);
    return [high, upper * 65536 + lower];
  }

  function hex(x) {
    return ("0000000" + (x >>> 0).toString(16)).slice(-8);
  }

  function solveOne(seed, index, limit) {
    begin(seed, index);
    for (let high = 0; high < MAX_HIGH; high++) {
      for (let low = 0; low < 4294967296; low++) {
        hash(low, high);
        if (out[0] < limit[0] || (out[0] === limit[0] && out[1] < limit[1])) {
          return hex(high) + hex(low);
        }
      }
    }
    throw new Error("no solution");
  }

  function whole(x, least, most) {
    return Number.isInteger(x) && x >= least && x <= most;
  }

  function check(m) {
    if (!m || m.algorithm !== "sha256") return "unknown algorithm";
    if (typeof m.seed !== "string" || !/^[0-9a-f]{64}$/.test(m.seed)) return "seed: expected 64 hex digits";
    if (!whole(m.sub, 1, 16)) return "sub: expected 1 to 16";
    if (!whole(m.difficulty, 2, 1073741824)) return "difficulty: expected 2 to 2^30";
    if (m.only !== undefined && !(Array.isArray(m.only) && m.only.every((j) => whole(j, 0, m.sub - 1)))) {
      return "only: expected indexes below sub";
    }
    return "";
  }

  self.onmessage = function (event) {
    const m = event.data;
    const wrong = check(m);
    if (wrong) {
      self.postMessage({error: wrong});
      return;
    }
    const all = m.only || Array.from({length: m.sub}, (_, j) => j);
    const limit = target(m.difficulty);
    const nonces = [];
    for (const j of all) {
      nonces.push(solveOne(m.seed, j, limit));
      self.postMessage({progress: nonces.length, of: all.length});
    }
    self.postMessage({nonces: nonces});
  };
})();
