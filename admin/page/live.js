// Keeps a sale's page up to date. Without it the page reloads itself.
"use strict";
(() => {
  const root = document.getElementById("live");
  const fresh = document.getElementById("fresh");
  if (!root) return;
  const every = 2000;
  const number = new Intl.NumberFormat("en", { useGrouping: true });
  const show = (n) => number.format(n);
  const at = (o, path) => path.split(".").reduce((v, k) => (v === null || v === undefined ? v : v[k]), o);
  const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };
  const time = (s) => s.slice(11, 19);
  const part = (n, of) => (100 * n / Math.max(of, 1)).toFixed(2);

  const wait = (q) => {
    const low = q.waitLowSeconds, high = q.waitHighSeconds;
    if (low < 0 || high < 0) return "not known yet";
    if (high < 60) return "under a minute";
    const from = Math.floor(low / 60), to = Math.ceil(high / 60);
    return from === to ? `about ${to} min` : `${from}–${to} min`;
  };
  const state = (name) => {
    const s = document.createElement("span");
    s.className = "state " + name;
    s.dataset.state = name;
    s.textContent = name.replace(/[_-]/g, " ").replace(/[A-Z]/g, (c) => " " + c.toLowerCase());
    return s;
  };
  const row = (...cells) => {
    const tr = document.createElement("tr");
    for (const [value, name] of cells) {
      const td = document.createElement("td");
      if (name) td.className = name;
      td.append(value);
      tr.append(td);
    }
    return tr;
  };
  const bar = (svg, sold, held, capacity) => {
    const s = part(sold, capacity);
    svg.querySelector(".sold").setAttribute("width", s);
    const h = svg.querySelector(".held");
    h.setAttribute("x", s);
    h.setAttribute("width", part(held, capacity));
    svg.setAttribute("aria-label", `${sold} sold, ${held} on hold, ${capacity - sold - held} free of ${capacity}`);
  };

  const draw = (sale) => {
    for (const el of root.querySelectorAll("[data-v]")) {
      const v = at(sale, el.dataset.v);
      if (typeof v === "number") put(el, show(v));
    }
    for (const el of root.querySelectorAll("[data-p]")) {
      const v = at(sale, el.dataset.p);
      if (typeof v === "number") put(el, v < 0 ? "not known yet" : `${v} %`);
    }
    for (const el of root.querySelectorAll("[data-t]")) put(el, String(at(sale, el.dataset.t)));
    for (const svg of root.querySelectorAll("[data-stock]")) {
      const t = sale.event.ticketTypes[svg.dataset.stock];
      if (t) bar(svg, t.sold, t.held, t.capacity);
    }
    const live = sale.room && sale.room.live;
    if (live) {
      root.querySelector("[data-bar=inside]")?.setAttribute("width", part(live.inside, live.cap));
      const w = root.querySelector("[data-wait]");
      if (w) put(w, wait(live));
      const age = root.querySelector("[data-age]");
      if (age) {
        put(age, live.stale ? `The line has not moved for ${Math.round(live.behindMillis / 1000)} s.` : "Up to date.");
        age.classList.toggle("bad", live.stale);
      }
    }
    for (const name of ["bookings", "payments"]) {
      const rows = sale[name].map((s) => row([state(s.status)], [show(s.count), "r"], [s.total, "r"]));
      root.querySelector(`[data-counts=${name}]`).replaceChildren(...rows);
    }
    root.querySelector("[data-recent]").replaceChildren(...sale.recent.map((b) =>
      row([time(b.updatedAt)], [b.userId, "clip"], [state(b.status)], [String(b.tickets), "r"], [b.total, "r"])));
    root.querySelector("[data-dead]").classList.toggle("bad", sale.outbox.dead > 0);
    put(fresh, `As of ${time(sale.at)} UTC`);
    fresh.classList.remove("bad");
  };

  // A change of state changes what may be done: the page is loaded anew, unless somebody is in the middle of confirming.
  const moved = (sale) => {
    const room = sale.room ? sale.room.state : "";
    const types = root.querySelectorAll("[data-stock]").length;
    const queue = !!root.querySelector("[data-queue]");
    return sale.event.state !== root.dataset.eventState || room !== root.dataset.roomState ||
      types !== sale.event.ticketTypes.length || queue !== !!(sale.room && sale.room.live);
  };
  const busy = () => document.querySelector("details.confirm[open]") || document.activeElement?.closest("form.line");

  const poll = async () => {
    let next = every;
    try {
      const answer = await fetch(root.dataset.url, { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(8000) });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const sale = await answer.json();
      draw(sale);
      if (moved(sale)) {
        if (busy()) put(fresh, "The state changed: reload to act on it");
        else { location.replace(location.pathname); return; }
      }
    } catch {
      put(fresh, "No answer. Trying again…");
      fresh.classList.add("bad");
      next = 2 * every;
    }
    setTimeout(poll, document.hidden ? 5 * every : next);
  };
  setTimeout(poll, every);
  document.addEventListener("keydown", (e) => {
    if (e.key === "Escape") for (const d of document.querySelectorAll("details.confirm[open]")) d.open = false;
  });
})();
