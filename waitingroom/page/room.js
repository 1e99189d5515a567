// The waiting page, made better: it arrives by itself, solves in workers, joins until the place is recorded, follows the
// shared queue document and enters when its turn comes. Every step is safe to repeat and survives a reload; the tabs of a
// browser share one place and what they learn. page.go calls this function with the words of the page's language.
(function (words) {
  "use strict";
  const body = document.body.dataset;
  const lang = document.documentElement.lang;
  const locale = body.locale || lang; // how the fan's region writes numbers and times
  const base = "/rooms/" + body.room + "/";
  const memory = "fairgate-room-" + body.room; // the challenge, and its solution, until the place is recorded
  const visitor = "fairgate-visitor"; // the secret that goes with every room, until a cookie has it
  const coded = "invite" in body; // the fan brought an invite code, which a cookie keeps
  const plural = new Intl.PluralRules(lang);
  const digits = new Intl.NumberFormat(locale, {useGrouping: true});
  const minute = new Intl.DateTimeFormat(locale, {timeStyle: "short"});
  const day = new Intl.DateTimeFormat(locale, {dateStyle: "medium", timeStyle: "short", calendar: "gregory"}); // as on tickets
  const $ = (id) => document.getElementById(id);

  let place = body.key ? {orderKey: body.key, lane: body.lane, drawn: "drawn" in body, place: body.place} : null;
  let newest = null; // queue document
  let skew = 0; // server time minus ours, ms
  let start = 0; // people ahead when first seen, for the progress bar
  let shown = Infinity; // people ahead as told last, once the number is final
  let timer = 0;
  let busy = false; // a step other than polling is under way
  let away = 0; // polls that failed in a row
  let cease = null; // stops the workers
  let proof = null; // that somebody attends the place: for a minute
  let waits = false; // the puzzle is not for us: wait instead

  document.cookie = "fg_js=1; path=/rooms; max-age=172800; samesite=lax";
  body.js = "";

  // ---- words

  function text(key, values, n) {
    let t = words[key];
    if (t === undefined) return "";
    if (typeof t === "object") t = t[plural.select(n)] || t.other;
    return t.replace(/\{(\w+)\}/g, (_, name) => name === "n" && n !== undefined ? digits.format(n) : values && values[name] || "");
  }

  function set(id, value) {
    const el = $(id);
    if (el.textContent !== value) el.textContent = value;
  }

  function fact(id, value) {
    set(id, value);
    $("fact-" + id).hidden = !value;
  }

  // line shows a text in an element of its own, which is hidden while there is none.
  function line(id, value) {
    set(id, value);
    $(id).hidden = !value;
  }

  function notice(key, values) {
    line("notice", key ? text("notice." + key, values) : "");
  }

  // ---- telling a screen reader

  let told = Infinity; // people ahead when last told
  let toldAt = 0;

  // say is heard at once, in the reader's own time.
  function say(t) {
    set("status", t);
    toldAt = Date.now();
  }

  // placeNews is the number in words when it has halved, when the fan is next, and now and then; else empty. It changes
  // every few seconds, and to hear each change would be torture.
  function placeNews(high) {
    const less = high < told && (high <= told / 2 || high <= 1);
    if (!less && (high === told || Date.now() - toldAt < 300000)) return "";
    told = high;
    return high ? text("status.place", {wait: $("wait").textContent}, high) : text("number.next");
  }

  function show(phase, todo, news) {
    const headline = text("headline." + phase);
    const changed = body.phase !== phase;
    const focus = document.activeElement;
    body.phase = phase;
    set("headline", headline);
    set("todo", todo || text("todo." + phase));
    const number = phase === "waiting" ? $("number").textContent : "";
    document.title = (number ? number + " · " : "") + text("title", {headline: headline, name: body.name});
    if (changed) say(headline + ". " + (news || $("todo").textContent));
    else if (news) say(news);
    // Whose button has gone stays where the news is.
    if (changed && focus && focus !== document.body && !focus.getClientRects().length) $("headline").focus();
  }

  // ---- other tabs

  const channel = window.BroadcastChannel ? new BroadcastChannel(memory) : null;
  if (channel) channel.onmessage = (e) => heard(e.data);

  function share(message) {
    if (channel) channel.postMessage(message);
  }

  function heard(m) {
    if (m.place && (!place || better(m.place))) {
      settle(m.place, m.instant);
      if (cease) cease();
      if (!busy) follow(0);
    }
    if (m.document && (!newest || m.document.offset > newest.offset)) read(m.document);
    if (m.admitted && body.phase !== "admitted") admitted(m.admitted);
    if (m.lost) lost(m.lost);
    if (m.left) left();
  }

  // better is how the log chooses between two places of one visitor.
  function better(other) {
    const invited = (p) => p.lane === "invited";
    return invited(other) === invited(place) ? other.orderKey < place.orderKey : invited(other);
  }

  // exclusive runs a step in one tab at a time. A tab that was frozen with it does not hold up the others.
  async function exclusive(name, step) {
    if (!navigator.locks || !AbortSignal.timeout) return step();
    let begun = false;
    try {
      return await navigator.locks.request(name, {signal: AbortSignal.timeout(8000)}, () => {
        begun = true;
        return step();
      });
    } catch (e) {
      if (begun) throw e;
      return step();
    }
  }

  // ---- talking to the edge

  async function call(step, message) {
    // Asked again by its ETag: the browser's own cache may be seconds behind the CDN's, and the next look seconds away.
    const init = {headers: {Accept: "application/json"}, cache: "no-cache"};
    if (AbortSignal.timeout) init.signal = AbortSignal.timeout(20000);
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

  function load(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch (_) {
      return null;
    }
  }

  function store(key, value) {
    try {
      if (value) localStorage.setItem(key, JSON.stringify(value));
      else localStorage.removeItem(key);
    } catch (_) { /* private mode: a reload then arrives anew */ }
  }

  function recall() {
    const kept = load(memory);
    // A challenge from before the fan brought an invite code is for another line.
    return kept && kept.until > Date.now() && (kept.invite || !coded) ? kept : null;
  }

  const keep = (value) => store(memory, value);

  // ---- arriving and joining

  // attempt calls a step until it was answered; network trouble and overload are waited out.
  async function attempt(step, message) {
    const trouble = step === "arrive" ? "away" : "try-again";
    for (let wait = 1; ; wait = Math.min(wait * 2, 15)) {
      let asked = 0;
      try {
        const r = await call(step, message);
        if (r.status !== 429 && r.status < 500) return r;
        asked = r.wait;
      } catch (_) { /* the network; it comes back */ }
      notice(navigator.onLine === false ? "offline" : trouble);
      await pause(Math.max(asked, wait));
    }
  }

  async function arrive() {
    if (busy) return;
    busy = true;
    notice("");
    show("checking");
    while (!place) {
      // Tabs that come together take one challenge; each may solve it, and the place is the same.
      const kept = await exclusive(memory + "arrive", challenge);
      if (kept && kept.refused) {
        busy = false;
        return refused(kept.refused);
      }
      if (kept) await join(kept);
    }
    keep(null);
    busy = false;
    notice("");
    follow(0);
  }

  async function challenge() {
    const kept = place ? null : recall();
    if (kept || place) return kept;
    const who = await exclusive(visitor, self);
    const r = await attempt("arrive", waits ? {lane: "timed", visitor: who} : {visitor: who});
    if (r.ok || r.status === 400) store(visitor, null);
    return r.ok ? take(r.answer) : {refused: r};
  }

  // self is who this browser is until a cookie says so: one visitor in all tabs and rooms, whosever answer comes first. It is
  // read back, in case that another tab stored its own at the same time.
  function self() {
    const drawn = packed(hex(crypto.getRandomValues(new Uint8Array(16))).match(/.{16}/g));
    if (!load(visitor)) store(visitor, drawn);
    return load(visitor) || drawn;
  }

  // take turns the answer to arrive into what is kept, or takes the place that the visitor has already.
  function take(answer) {
    if (answer.orderKey) {
      settle(answer, "");
      return null;
    }
    const life = Date.parse(answer.expires) - Date.parse(answer.instant);
    const kept = {challenge: answer.challenge, puzzle: answer.puzzle, instant: answer.instant, invite: coded, until: Date.now() + 2 * life};
    keep(kept);
    return kept;
  }

  function settle(answer, instant) {
    const news = !place || place.place !== answer.place;
    if (place && news) forget();
    place = {orderKey: answer.orderKey, lane: answer.lane, drawn: answer.drawn, place: answer.place};
    body.instant = body.instant || instant || new Date(Date.now() + skew).toISOString();
    set("proof", place.place);
    line("lane", text("lane." + place.lane));
    if (news) share({place: place, instant: body.instant});
  }

  // join sends the solution until the place is recorded, here or in another tab, or the challenge is of no use any more.
  async function join(kept) {
    if (!kept.solution) {
      kept.solution = kept.puzzle.algorithm === "timed" ? await waited(kept.puzzle) : await solve(kept.puzzle);
      if (waits && kept.puzzle.algorithm !== "timed") return keep(null);
      if (!place) keep(kept);
    }
    while (!place) {
      const r = await attempt("join", {challenge: kept.challenge, solution: kept.solution});
      if (r.ok && r.answer.recorded) return settle(r.answer, kept.instant);
      if (r.ok || r.kind === "too-soon") {
        await pause(r.wait || 1);
      } else if (r.kind === "not-solved") {
        delete kept.solution;
        return keep(kept);
      } else if (r.kind === "place-kept") {
        keep(null);
        return pause(1); // arrive again: the other tab's place comes back
      } else {
        return renew(kept, r);
      }
    }
  }

  // renew asks for the same place once more when the time ran out, else lets it begin anew.
  async function renew(kept, r) {
    keep(null);
    if (r.kind !== "expired" || kept.renewed) {
      notice(r.kind);
      return pause(2);
    }
    const again = await attempt("arrive", {challenge: kept.challenge});
    const next = again.ok ? take(again.answer) : null;
    if (next) keep(Object.assign(next, {renewed: true}));
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

  // solve shares a puzzle between workers. Hidden on battery it rests, and goes on when seen.
  async function solve(puzzle) {
    await seen();
    const nonces = place || waits ? [] : await race(puzzle);
    return place || waits ? "" : packed(nonces);
  }

  // packed is nonces as they are sent: eight bytes each, the least significant first.
  function packed(nonces) {
    const bytes = [];
    for (const hex of nonces) {
      for (let i = 14; i >= 0; i -= 2) bytes.push(parseInt(hex.slice(i, i + 2), 16));
    }
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  // race has every worker try nonces of its own, so that the last sub-puzzle keeps all of them busy.
  function race(puzzle) {
    const nonces = new Array(puzzle.subPuzzles).fill("");
    const workers = [];
    const parts = Math.min(navigator.hardwareConcurrency || 2, 4);
    const tell = (message) => workers.forEach((w) => w.postMessage(message));
    return new Promise((done) => {
      const stop = cease = () => {
        cease = null;
        document.removeEventListener("visibilitychange", hidden);
        workers.forEach((w) => w.terminate());
        done(nonces);
      };
      const hidden = async () => tell({pause: await onBattery() && document.hidden});
      // A puzzle that this browser cannot solve is paid for by waiting, as without JavaScript.
      const unable = () => {
        waits = true;
        stop();
      };
      document.addEventListener("visibilitychange", hidden);
      for (let part = 0; part < parts; part++) {
        const w = new Worker(body.solver);
        workers.push(w);
        w.onerror = unable;
        w.onmessage = (e) => {
          if (e.data.error) return unable();
          const j = e.data.sub;
          if (j === undefined || nonces[j]) return;
          nonces[j] = e.data.nonce;
          if (nonces.every(Boolean)) stop();
          else tell({solved: j});
        };
        w.postMessage({algorithm: puzzle.algorithm, seed: puzzle.seed, sub: puzzle.subPuzzles, k: puzzle.k,
          difficulty: puzzle.difficulty, part: part, parts: parts});
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

  // ---- the document

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

  const laneOf = (d) => d.lanes.find((l) => l.lane === place.lane) || d.lanes[0];

  // The same steps as the server's wait, which explains them.
  let waitAt = 0;

  function estimate(lane, low, high) {
    if (!lane.rateLow || !lane.rateHigh) {
      fact("turn", "");
      return fact("wait", text("wait.unknown"));
    }
    let least = Math.floor(low * 1000 / lane.rateHigh), most = Math.ceil(high * 1000 / lane.rateLow);
    // What was told stays for a while: a wait that changes with every look is no information.
    if (waitAt && most > 1 && Date.now() - waitAt < 20000) return;
    waitAt = Date.now();
    if (most <= 1) {
      fact("turn", "");
      return fact("wait", text("wait.short"));
    }
    const step = most >= 180 ? 60 : most > 60 ? 10 : most > 20 ? 5 : 1;
    least = Math.floor(least / step) * step;
    most = Math.ceil(most / step) * step;
    clock(least, most, Math.min(step, 10));
    if (step === 60) {
      fact("wait", text("wait.hours", {low: digits.format(Math.max(least / 60, 1))}, most / 60));
    } else if (least >= most - 1) {
      fact("wait", text("wait.minutes", {}, most));
    } else {
      fact("wait", text("wait.range", {low: digits.format(Math.max(least, 1))}, most));
    }
  }

  // clock tells the wait as times of the fan's own day.
  function clock(least, most, step) {
    const unit = step * 60000, now = Date.now();
    const from = new Date(Math.floor((now + least * 60000) / unit) * unit), to = new Date(Math.ceil((now + most * 60000) / unit) * unit);
    fact("turn", minute.formatRange ? minute.formatRange(from, to) : minute.format(from) + " – " + minute.format(to));
  }

  function stock(d) {
    if (d.left < 0) return fact("left", "");
    const left = text("left.tickets", {}, d.left);
    fact("left", d.coming > 0 ? text("left.coming", {left: left}, d.coming) : left);
  }

  function price(d) {
    if (!d.price || !d.currency) return fact("price", "");
    const places = (d.price.split(".")[1] || "").length;
    const amount = new Intl.NumberFormat(locale, {useGrouping: true, minimumFractionDigits: places, maximumFractionDigits: places}).format(d.price);
    fact("price", text("price.from", {price: amount + "\u00a0" + d.currency}));
  }

  // draw shows a document. It returns the fan's [low, high], or null without a place.
  function draw(d) {
    skew = d.at / 1000 - Date.now();
    body.offset = d.offset;
    stock(d);
    price(d);
    fact("line", text("line.people", {}, d.waiting));
    fact("pace", d.perMinute ? text("pace.minute", {}, d.perMinute) : "");
    if (d.state === "ended") return void show("ended");
    if (!place) {
      if (d.state === "closed") show("closed", closed(d.earlyFrom || d.opensAt, d.earlyFrom ? d.opensAt : 0));
      return null;
    }
    const lane = laneOf(d);
    if (!lane) return null;
    const early = d.state === "early" || d.state === "closed";
    const [low, high] = position(lane, place.orderKey);
    if (high === 0 && !early) return [0, 0];
    if (early && place.drawn) lots();
    else number(d, lane, Math.max(low, 1) - 1, Math.max(high, 1) - 1);
    const phase = early ? "early" : d.state === "paused" || d.state === "soldOut" ? d.state : "waiting";
    show(phase, early ? opening(d) : "", phase === "waiting" ? placeNews(Math.min(Math.max(high, 1) - 1, shown)) : "");
    return [low, high];
  }

  // closed says when the line opens and, if that is later, the doors; both in µs.
  function closed(from, doors) {
    if (!from) return "";
    const at = (micros) => day.format(micros / 1000);
    return doors > from ? text("todo.closed.doors", {time: at(from), doors: at(doors)}) : text("todo.closed.at", {time: at(from)});
  }

  function opening(d) {
    if (place.drawn) return text("todo.early.draw");
    return d.opensAt ? text("todo.early.at", {time: day.format(d.opensAt / 1000)}) : "";
  }

  // lots is the time before a draw: nobody has a number yet.
  function lots() {
    set("number", "");
    set("number-label", "");
    for (const id of ["about", "young", "progress"]) $(id).hidden = true;
  }

  function number(d, lane, low, high) {
    const young = Date.now() + skew - Date.parse(body.instant || 0) < d.allowance / 1000;
    if (!young) {
      high = shown = Math.min(high, shown); // the table behind the first few hundred is coarse, and moves
      low = Math.min(low, high);
    }
    set("number", high ? digits.format(high) : "");
    set("number-label", high ? text("number.label", {}, high) : text("number.next"));
    $("about").hidden = high === 0 || (low === high && !young);
    $("young").hidden = !young;
    estimate(lane, low + 1, high + 1);
    progress(high);
  }

  // progress goes on where it was before a reload.
  function progress(high) {
    if (!start) {
      const kept = load(memory + "-start");
      start = kept && kept.place === place.place ? kept.start : 0;
    }
    if (high > start) {
      start = high;
      store(memory + "-start", {place: place.place, start: start});
    }
    $("progress").hidden = start < 10;
    $("progress").value = start ? 1 - high / start : 1;
  }

  // ---- waiting

  function follow(seconds) {
    clearTimeout(timer);
    timer = setTimeout(poll, seconds * 1000);
  }

  async function poll() {
    if (busy) return;
    try {
      const r = await call("queue");
      if (!r.ok) throw r;
      if (away) notice("");
      away = 0;
      if (!newest || r.answer.offset > newest.offset) share({document: r.answer});
      read(r.answer);
    } catch (_) {
      if (++away > 1 || navigator.onLine === false) notice(navigator.onLine === false ? "offline" : "away");
      follow(Math.min(5 * away, 30) * (0.75 + Math.random() / 2));
    }
  }

  // read goes by a document, this tab's own or another's, and says when to look again.
  function read(d) {
    if (busy || body.phase === "admitted" || body.phase === "left") return;
    if (!newest || d.offset >= newest.offset) newest = d;
    const at = draw(newest);
    if (at && place.drawn && newest.seed && place.orderKey.startsWith("01")) return void drawn();
    if (at && at[1] === 0) return void enter();
    if (body.phase === "closed" && newest.state !== "closed") return void arrive();
    let next = newest.nextPoll || 3;
    if (document.hidden) next = Math.max(next, idle(at));
    if (body.phase === "ended") next = 60;
    follow(next * (0.75 + Math.random() / 2));
  }

  // idle is the pause while nobody looks: long, but short enough not to miss the turn.
  function idle(at) {
    let soonest = 120;
    if (at && newest.state === "open") {
      const rate = laneOf(newest).rateHigh;
      soonest = rate ? at[0] * 60000 / rate : 60;
    } else if (newest.earlyFrom || newest.opensAt) {
      soonest = ((newest.earlyFrom || newest.opensAt) / 1000 - Date.now() - skew) / 1000;
    }
    return Math.min(Math.max(soonest / 2, 15), 300);
  }

  // drawn asks where the draw has put this place, and computes it too: whoever draws must not be able to choose.
  async function drawn() {
    try {
      const r = await call("place");
      if (r.ok) {
        place.orderKey = r.answer.orderKey;
        place.lane = r.answer.lane;
        if (place.orderKey.startsWith("00") && window.crypto && crypto.subtle) await lot(newest);
        else if (!place.orderKey.startsWith("00")) place.drawn = false; // came too late for it
      }
    } catch (_) { /* the next document brings it here again */ }
    follow(1 + Math.random());
  }

  async function lot(d) {
    const hash = async (b) => new Uint8Array(await crypto.subtle.digest("SHA-256", b));
    const seed = bytes(d.seed);
    const key = await hash(new Uint8Array([...seed, ...new TextEncoder().encode(d.publicValue || "")]));
    const hmac = await crypto.subtle.importKey("raw", key, {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
    const value = hex(new Uint8Array(await crypto.subtle.sign("HMAC", hmac, bytes(place.place)))).slice(0, 16);
    set("lot", value);
    $("lot-line").hidden = false;
    if (value !== place.orderKey.slice(2, 18) || hex(await hash(seed)) !== d.commitment) notice("lot-differs");
  }

  const bytes = (t) => new Uint8Array((t.match(/../g) || []).map((b) => parseInt(b, 16)));
  const hex = (b) => [...b].map((x) => x.toString(16).padStart(2, "0")).join("");

  // ---- entering

  async function enter() {
    if (busy) return;
    busy = true;
    show("invited");
    const r = await exclusive(memory + "enter", async () => {
      if (body.phase === "admitted") return null; // another tab was quicker
      try {
        const asked = await call("enter", proof ? {presence: proof} : {});
        if (asked.kind !== "presence" || waits) return asked;
        await prove(asked.answer.puzzle);
        return await call("enter", proof ? {presence: proof} : {});
      } catch (_) {
        return {status: 0, wait: 2, answer: {}};
      }
    });
    busy = false;
    if (!r || body.phase === "admitted") return;
    if (r.status === 200) {
      share({admitted: r.answer});
      ring();
      return admitted(r.answer, true);
    }
    if (r.status === 202) notice("");
    else if (/^(gone|unknown-place|no-place|expired|foreign-token|other-visitor|other-room)$/.test(r.kind)) {
      share({lost: r.kind});
      return lost(r.kind);
    } else if (r.kind !== "not-invited") notice(navigator.onLine === false ? "offline" : "try-again");
    clearTimeout(timer);
    const wait = r.kind === "not-invited" || r.kind === "closed"; // the document tells more
    timer = setTimeout(wait ? poll : enter, 1000 * (r.wait || 1) * (1 + Math.random() / 4));
  }

  // prove works a little for a place whose turn it is: nobody could do that ahead.
  async function prove(puzzle) {
    await seen();
    const nonces = await race(puzzle);
    proof = nonces.every(Boolean) ? {document: puzzle.document, solution: packed(nonces)} : null;
  }

  function forget() {
    clearTimeout(timer);
    proof = null;
    place = null;
    start = 0;
    shown = told = Infinity;
    waitAt = 0;
    body.instant = "";
    store(memory + "-start", null);
  }

  function lost(kind) {
    forget();
    notice(kind);
    show(kind === "gone" ? "missed" : "new");
  }

  // admitted tells it. The tab that entered goes on to the shop, at once or when it is looked at.
  function admitted(answer, goes) {
    clearTimeout(timer);
    const until = Date.parse(answer.expires);
    $("next").href = answer.next || "/";
    notice("");
    show("admitted", text("todo.admitted", {time: minute.format(until)}));
    ends(until);
    if (!goes) return;
    const go = () => { location.href = $("next").href; };
    if (!document.hidden) return void setTimeout(go, 1000);
    document.addEventListener("visibilitychange", go, {once: true});
  }

  // ends looks again when the admission is over.
  function ends(until) {
    setTimeout(() => location.reload(), Math.min(Math.max(until - Date.now() - skew, 0) + 2000, 2e9));
  }

  async function leave() {
    clearTimeout(timer);
    const r = await attempt("leave", {});
    if (!r.ok && r.kind !== "no-place") return follow(0);
    share({left: true});
    left();
  }

  function left() {
    forget();
    keep(null);
    notice("");
    show("left");
  }

  // ---- telling that the turn has come, for those who asked for it

  const bell = $("tell");
  let sound = null;

  function chime() {
    try {
      sound = sound || new AudioContext();
      sound.resume();
      [0, 0.22].forEach((after, i) => {
        const tone = sound.createOscillator(), volume = sound.createGain(), at = sound.currentTime + after;
        tone.frequency.value = i ? 880 : 660;
        volume.gain.setValueAtTime(0.25, at);
        volume.gain.exponentialRampToValueAtTime(0.001, at + 0.5);
        tone.connect(volume).connect(sound.destination);
        tone.start(at);
        tone.stop(at + 0.5);
      });
    } catch (_) { /* no sound here */ }
  }

  const allowed = () => window.Notification && Notification.permission === "granted";

  function belled() {
    const on = !!load(memory + "-tell");
    bell.hidden = !window.AudioContext && !window.Notification;
    bell.setAttribute("aria-pressed", on);
    set("tell", text(on ? "tell.on" : "tell.ask"));
  }

  // A browser makes sound and asks for leave to notify only when it is touched.
  bell.addEventListener("click", async () => {
    const on = !load(memory + "-tell");
    store(memory + "-tell", on);
    belled();
    if (!on) return;
    chime();
    if (window.Notification && Notification.permission === "default") await Notification.requestPermission();
    if (allowed() && navigator.serviceWorker) navigator.serviceWorker.register(body.bell).catch(() => {});
  });

  async function ring() {
    if (!load(memory + "-tell")) return;
    chime();
    if (navigator.vibrate) navigator.vibrate([200, 100, 200]);
    if (!document.hidden || !allowed()) return;
    const how = {body: body.name, lang: lang, dir: document.documentElement.dir, tag: memory, requireInteraction: true, data: location.href};
    try {
      new Notification(text("headline.invited"), how).onclick = () => window.focus();
    } catch (_) { // Android: only a service worker may
      const worker = await navigator.serviceWorker.getRegistration(body.bell);
      if (worker) worker.showNotification(text("headline.invited"), how);
    }
  }

  // ---- beginning

  function on(id, step) {
    $(id).addEventListener("submit", (e) => {
      e.preventDefault();
      step();
    });
  }
  on("join", () => body.solver ? arrive() : $("join").submit());
  on("enter", enter);
  on("leave", leave);
  belled();

  const again = () => {
    const follows = place || body.phase === "closed" || body.phase === "ended";
    if (!document.hidden && follows && !busy && body.phase !== "admitted" && body.phase !== "invited") follow(0);
  };
  document.addEventListener("visibilitychange", again);
  window.addEventListener("online", again);
  window.addEventListener("pageshow", (e) => {
    if (e.persisted) location.reload();
  });

  // Times were rendered in UTC: now they are the fan's own.
  const until = Number(body.until) / 1000;
  if (until && body.phase === "closed") set("todo", closed(until * 1000, body.doors));
  if (body.phase === "admitted") {
    set("todo", text("todo.admitted", {time: minute.format(until)}));
    ends(until);
  } else if (body.phase === "new" || body.phase === "checking" || body.phase === "ready") {
    if (body.solver && (coded || $("notice").hidden)) arrive();
  } else if (body.phase !== "missed") {
    follow(body.phase === "closed" ? 5 : 0);
  }
})
