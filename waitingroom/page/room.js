// The waiting page, made better: it arrives by itself, solves in workers, joins until the place is recorded, follows the
// shared queue document and enters when its turn comes. Every step is safe to repeat and survives a reload.
"use strict";

(function () {
  const body = document.body.dataset;
  const words = JSON.parse(document.getElementById("messages").textContent);
  const lang = document.documentElement.lang;
  const base = "/rooms/" + body.room + "/";
  const memory = "fairgate-room-" + body.room; // the challenge, and its solution, until the place is recorded
  const plural = new Intl.PluralRules(lang);
  const digits = new Intl.NumberFormat(lang);
  const $ = (id) => document.getElementById(id);

  let place = body.key ? {orderKey: body.key, lane: body.lane, drawn: "drawn" in body} : null;
  let newest = null; // queue document
  let skew = 0; // server time minus ours, ms
  let start = 0; // people ahead when first seen, for the progress bar
  let timer = 0;
  let busy = false; // a step other than polling is under way
  let spoken = "", spokenAt = 0;

  document.cookie = "fg_js=1; path=/rooms; max-age=172800; samesite=lax";

  // ---- words

  function text(key, values, n) {
    let t = words[key];
    if (t === undefined) return "";
    if (typeof t === "object") t = t[plural.select(n)] || t.other;
    return t.replace(/\{(\w+)\}/g, (_, name) => name === "n" && n !== undefined ? digits.format(n) : values && values[name] || "");
  }

  function when(ms) {
    return new Intl.DateTimeFormat(lang, {dateStyle: "medium", timeStyle: "short"}).format(new Date(ms));
  }

  function set(id, value) {
    const el = $(id);
    if (el.textContent !== value) el.textContent = value;
  }

  function fact(id, value) {
    set(id, value);
    $("fact-" + id).hidden = !value;
  }

  function notice(key, values) {
    const t = key ? text("notice." + key, values) : "";
    set("notice", t);
    $("notice").hidden = !t;
  }

  // say tells a screen reader, only what is new and not more than once a minute.
  function say(t, urgent) {
    const now = Date.now();
    if (t === spoken || (!urgent && now - spokenAt < 60000)) return;
    spoken = t;
    spokenAt = now;
    set("status", t);
  }

  function show(phase, todo) {
    const headline = text("headline." + phase);
    const changed = body.phase !== phase;
    body.phase = phase;
    set("headline", headline);
    set("todo", todo || text("todo." + phase));
    const ahead = phase === "waiting" && start ? $("number").textContent + " · " : "";
    document.title = ahead + text("title", {headline: headline, name: body.name});
    if (changed) say(headline + ". " + $("todo").textContent, true);
  }

  // ---- talking to the edge

  async function call(step, message) {
    // Asked again by its ETag: the browser's own cache may be seconds behind the CDN's, and the next look seconds away.
    const init = {headers: {Accept: "application/json"}, cache: "no-cache"};
    if (message) {
      init.method = "POST";
      init.headers["Content-Type"] = "application/json";
      init.body = JSON.stringify(message);
    }
    const response = await fetch(base + step, init);
    const answer = response.status === 304 ? {} : await response.json();
    const wait = Number(response.headers.get("Retry-After")) || 0;
    return {status: response.status, ok: response.ok, answer: answer, wait: wait, kind: String(answer.type || "").split("/").pop()};
  }

  function pause(seconds) {
    return new Promise((done) => setTimeout(done, seconds * 1000 * (1 + Math.random() / 2)));
  }

  function recall() {
    try {
      const kept = JSON.parse(localStorage.getItem(memory));
      return kept && kept.until > Date.now() ? kept : null;
    } catch (_) {
      return null;
    }
  }

  function keep(value) {
    try {
      if (value) localStorage.setItem(memory, JSON.stringify(value));
      else localStorage.removeItem(memory);
    } catch (_) { /* private mode: a reload then arrives anew */ }
  }

  // ---- arriving and joining

  // attempt calls a step until it was answered; network trouble and overload are waited out.
  async function attempt(step, message) {
    const away = step === "arrive" ? "away" : "try-again";
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      try {
        const r = await call(step, message);
        if (r.status !== 429 && r.status < 500) return r;
        notice(away);
        await pause(Math.max(r.wait, wait));
      } catch (_) {
        notice(away);
        await pause(wait);
      }
    }
  }

  async function arrive() {
    if (busy) return;
    busy = true;
    show("checking");
    let kept = recall();
    while (!place) {
      if (!kept) {
        const r = await attempt("arrive", {});
        if (!r.ok) {
          busy = false;
          refused(r);
          return;
        }
        kept = take(r.answer);
        if (!kept) break;
      }
      kept = await join(kept);
    }
    keep(null);
    busy = false;
    notice("");
    follow(0);
  }

  // take turns the answer to arrive into what is kept, or takes the place that the visitor has already.
  function take(answer) {
    if (answer.orderKey) {
      settle(answer);
      return null;
    }
    const life = Date.parse(answer.expires) - Date.parse(answer.instant);
    const kept = {challenge: answer.challenge, puzzle: answer.puzzle, until: Date.now() + 2 * life};
    keep(kept);
    return kept;
  }

  function settle(answer) {
    place = answer;
    body.instant = body.instant || new Date(Date.now() + skew).toISOString();
    set("proof", answer.place);
  }

  // join sends the solution until the place is recorded. It returns what to go on with, if not.
  async function join(kept) {
    if (!kept.solution) {
      kept.solution = kept.puzzle.algorithm === "timed" ? await waited(kept.puzzle) : await solve(kept.puzzle);
      keep(kept);
    }
    for (;;) {
      const r = await attempt("join", {challenge: kept.challenge, solution: kept.solution});
      if (r.ok && r.answer.recorded) {
        settle(r.answer);
        return null;
      }
      if (r.ok || r.kind === "too-soon") {
        await pause(r.wait || 1);
      } else if (r.kind === "place-kept") {
        await pause(1);
        return null; // arrive again: the other tab's place comes back
      } else if (r.kind === "not-solved") {
        delete kept.solution;
        return kept;
      } else {
        return renew(kept, r);
      }
    }
  }

  // renew asks for the same place once more when the time ran out, else begins anew.
  async function renew(kept, r) {
    keep(null);
    if (r.kind !== "expired" || kept.renewed) {
      notice(r.kind);
      await pause(2);
      return null;
    }
    const again = await attempt("arrive", {challenge: kept.challenge});
    const next = again.ok ? take(again.answer) : null;
    if (next) next.renewed = true;
    return next;
  }

  function refused(r) {
    if (r.kind === "closed") return follow(0);
    show("trouble", r.answer.detail);
    if (r.answer.appealCode) notice("refused", {code: r.answer.appealCode});
  }

  async function waited(puzzle) {
    await pause(Math.max(0, Date.parse(puzzle.notBefore) - Date.now() - skew) / 1000);
    return "";
  }

  // solve shares the sub-puzzles between workers. Hidden on battery it stops, and begins again when seen.
  async function solve(puzzle) {
    const nonces = new Array(puzzle.subPuzzles);
    for (;;) {
      await seen();
      const open = [...nonces.keys()].filter((j) => !nonces[j]);
      if (!open.length) break;
      await round(puzzle, open, nonces);
    }
    const bytes = [];
    for (const hex of nonces) {
      for (let i = 14; i >= 0; i -= 2) bytes.push(parseInt(hex.slice(i, i + 2), 16));
    }
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  function round(puzzle, open, nonces) {
    const workers = [];
    const count = Math.min(open.length, navigator.hardwareConcurrency || 2, 4);
    return new Promise((done) => {
      let left = open.length;
      const stop = () => {
        document.removeEventListener("visibilitychange", hidden);
        workers.forEach((w) => w.terminate());
        done();
      };
      const hidden = async () => {
        if (document.hidden && await onBattery()) stop();
      };
      document.addEventListener("visibilitychange", hidden);
      const next = (w) => {
        const j = open.shift();
        if (j === undefined) return;
        w.onmessage = (e) => {
          if (e.data.error) {
            show("trouble", e.data.error);
          } else if (e.data.nonces) {
            nonces[j] = e.data.nonces[0];
            if (--left === 0) stop();
            else next(w);
          }
        };
        w.postMessage({algorithm: puzzle.algorithm, seed: puzzle.seed, sub: puzzle.subPuzzles, k: puzzle.k,
          difficulty: puzzle.difficulty, only: [j]});
      };
      for (let i = 0; i < count; i++) {
        const w = new Worker(body.solver);
        workers.push(w);
        next(w);
      }
    });
  }

  async function onBattery() {
    try {
      return !(await navigator.getBattery()).charging;
    } catch (_) {
      return false;
    }
  }

  async function seen() {
    if (!document.hidden || !await onBattery()) return;
    await new Promise((done) => document.addEventListener("visibilitychange", done, {once: true}));
  }

  // ---- waiting

  // position is [least, most]: which place of the lane a key is, 1 for the next to be invited; [0, 0] when it is invited.
  function position(lane, key) {
    if (key <= lane.invitedUpTo) return [0, 0];
    let low = 1;
    for (const [at, before] of lane.table || []) {
      if (at > key) return [low, Math.max(low, before)];
      low = before + 1;
    }
    return [low, Math.max(low, lane.waiting)];
  }

  function waitText(lane, low, high) {
    if (!lane.rateLow || !lane.rateHigh) return text("wait.unknown");
    const least = Math.floor(low * 1000 / lane.rateHigh), most = Math.ceil(high * 1000 / lane.rateLow);
    if (most <= 1) return text("wait.short");
    if (most >= 180) return text("wait.hours", {low: digits.format(Math.floor(least / 60)), high: digits.format(Math.ceil(most / 60))});
    if (least >= most - 1) return text("wait.minutes", {}, most);
    return text("wait.range", {low: digits.format(Math.max(least, 1)), high: digits.format(most)});
  }

  function stock(d) {
    if (d.left < 0) return fact("left", "");
    const left = text("left.tickets", {}, d.left);
    fact("left", d.coming > 0 ? text("left.coming", {left: left}, d.coming) : left);
  }

  function amount(decimal) {
    const places = (decimal.split(".")[1] || "").length;
    return new Intl.NumberFormat(lang, {minimumFractionDigits: places, maximumFractionDigits: places}).format(decimal);
  }

  function price(d) {
    if (!d.price || !d.currency) return fact("price", "");
    fact("price", text("price.from", {price: amount(d.price) + " " + d.currency}));
  }

  // draw shows a document. It returns the lane's [low, high], or null without a place.
  function draw(d) {
    skew = d.at / 1000 - Date.now();
    stock(d);
    price(d);
    fact("line", text("line.people", {}, d.waiting));
    fact("pace", d.perMinute ? text("pace.minute", {}, d.perMinute) : "");
    if (d.state === "ended") return void show("ended");
    if (!place) {
      if (d.state === "closed") show("closed", d.opensAt ? text("todo.closed.at", {time: when(d.opensAt / 1000)}) : "");
      return null;
    }
    const lane = d.lanes.find((l) => l.lane === place.lane) || d.lanes[0];
    if (!lane) return null;
    const [low, high] = position(lane, place.orderKey);
    if (high === 0 && d.state !== "early" && d.state !== "closed") return [0, 0];
    number(d, lane, Math.max(low, 1) - 1, Math.max(high, 1) - 1);
    show({early: "early", closed: "early", paused: "paused", soldOut: "soldOut"}[d.state] || "waiting",
      d.state === "early" && d.opensAt ? text("number.open", {time: when(d.opensAt / 1000)}) + ". " + text("todo.early") : "");
    return [low, high];
  }

  function number(d, lane, low, high) {
    const young = Date.now() + skew - Date.parse(body.instant || 0) < d.allowance / 1000;
    set("number", digits.format(high));
    set("number-label", high === 0 ? text("number.next") : text("number.label", {}, high));
    $("about").hidden = high === 0 || (low === high && !young);
    $("young").hidden = !young;
    fact("wait", waitText(lane, low + 1, high + 1));
    start = Math.max(start, high);
    $("progress").hidden = start < 10;
    $("progress").value = start ? 1 - high / start : 1;
    say(text("status.place", {wait: $("wait").textContent}, high));
  }

  function follow(seconds) {
    clearTimeout(timer);
    timer = setTimeout(poll, seconds * 1000);
  }

  async function poll() {
    if (busy) return;
    let next = 5;
    try {
      const r = await call("queue");
      if (r.ok) {
        const d = r.answer;
        if (!newest || d.offset >= newest.offset) newest = d;
        next = newest.nextPoll || 3;
        const at = draw(newest);
        if (place && place.drawn && newest.seed && place.orderKey.startsWith("01")) await whereAmI();
        if (at && at[1] === 0) return void enter();
        if (at && document.hidden) next = idle(at);
        if (body.phase === "ended") next = 60;
        if (body.phase === "closed" && newest.state !== "closed") return void arrive();
      }
    } catch (_) { /* the next poll tells */ }
    follow(next * (0.75 + Math.random() / 2));
  }

  // idle is the pause while nobody looks: long, but short enough not to miss the turn.
  function idle(at) {
    const lane = newest.lanes.find((l) => l.lane === place.lane) || newest.lanes[0];
    const soonest = lane.rateHigh ? at[0] * 60000 / lane.rateHigh : 0;
    return Math.min(Math.max(soonest / 2, 15), 300);
  }

  async function whereAmI() {
    const r = await call("place");
    if (r.ok) {
      place.orderKey = r.answer.orderKey;
      place.lane = r.answer.lane;
    }
  }

  // ---- entering

  async function enter() {
    if (busy) return;
    busy = true;
    show("invited");
    let r;
    try {
      r = await call("enter", {});
    } catch (_) {
      r = {status: 0, wait: 2, answer: {}};
    }
    busy = false;
    if (r.status === 200) return admitted(r.answer);
    if (r.status === 202) notice("");
    else if (r.kind === "gone" || r.kind === "unknown-place" || r.kind === "no-place" || r.kind === "expired") return lost(r.kind);
    else if (r.status && r.kind !== "not-invited") notice("try-again");
    clearTimeout(timer);
    const wait = r.kind === "not-invited" || r.kind === "closed"; // the document tells more
    timer = setTimeout(wait ? poll : enter, 1000 * (r.wait || 1) * (1 + Math.random() / 4));
  }

  function lost(kind) {
    place = null;
    start = 0;
    notice(kind);
    show("new");
  }

  function admitted(answer) {
    $("next").href = answer.next || "/";
    show("admitted", text("todo.admitted", {time: when(Date.parse(answer.expires))}));
    notice("");
    const go = () => { location.href = answer.next || "/"; };
    if (!document.hidden) return void setTimeout(go, 600);
    document.addEventListener("visibilitychange", go, {once: true});
  }

  async function leave() {
    clearTimeout(timer);
    const r = await attempt("leave", {});
    if (!r.ok && r.kind !== "no-place") return follow(0);
    place = null;
    start = 0;
    keep(null);
    show("left");
  }

  // ---- beginning

  function on(id, step) {
    $(id).addEventListener("submit", (e) => {
      e.preventDefault();
      step();
    });
  }
  on("join", arrive);
  on("enter", enter);
  on("leave", leave);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && place && !busy && body.phase !== "admitted" && body.phase !== "invited") follow(0);
  });

  if (body.phase === "admitted") {
    set("todo", text("todo.admitted", {time: when(body.until / 1000)})); // in the fan's own zone
    return;
  }
  if (body.phase === "new" || body.phase === "checking" || body.phase === "ready") {
    if (body.solver && $("notice").hidden) arrive();
  } else {
    follow(body.phase === "closed" ? 5 : 0);
  }
})();
