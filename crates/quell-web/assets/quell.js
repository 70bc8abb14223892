"use strict";
// Makes pages live. Everything works without it: it only fetches what the page shows anyway, and counts clocks down.
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // One polite voice for all that is said.
  const say = (text) => {
    const voice = $("#say");
    if (voice) voice.textContent = text;
  };

  // Clocks. The server's time counts; this machine's may be wrong.
  let skew = 0;
  const takeTime = () => {
    const room = $("[data-now]");
    if (room) skew = Date.parse(room.dataset.now) - Date.now();
  };
  const length = (ms) => {
    const s = Math.floor(Math.abs(ms) / 1000);
    const [d, h, m] = [Math.floor(s / 86400), Math.floor(s / 3600) % 24, Math.floor(s / 60) % 60];
    if (d) return `${d} d ${h} h`;
    if (h) return `${h} h ${m} min`;
    return m ? `${m} min ${s % 60} s` : `${s} s`;
  };
  const THRESHOLDS = [600, 300, 60, 0];
  const said = new Map();
  const tick = () => {
    const now = Date.now() + skew;
    const news = [];
    for (const clock of all("[data-deadline]")) {
      const left = Date.parse(clock.dataset.deadline) - now;
      const words = left >= 0 ? `${length(left)} left` : `missed ${length(left)} ago`;
      if (clock.textContent !== words) clock.textContent = words;
      const box = clock.closest(".clock");
      if (box) {
        box.classList.toggle("bad", left < 0);
        box.classList.toggle("warn", left >= 0 && left < 300000);
        const mark = $(".mark", box);
        const shape = left < 0 ? "✕" : left < 300000 ? "▲" : "●";
        if (mark && mark.textContent !== shape) mark.textContent = shape;
      }
      const name = clock.dataset.name || "clock";
      const key = name + clock.dataset.deadline;
      const passed = THRESHOLDS.filter((s) => left <= s * 1000).length;
      if (said.has(key) && passed > said.get(key)) {
        news.push(left < 0 ? `The clock ${name} is missed` : `The clock ${name} has ${length(left)} left`);
      }
      said.set(key, passed);
    }
    if (news.length) say(news.join(". "));
  };

  // Turns one tree into another and keeps what people have in their hands: focus, half-typed text, open details.
  const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || "" : "");
  const isTyped = (field) =>
    field === document.activeElement ||
    ("defaultValue" in field && field.value !== field.defaultValue) ||
    ("defaultChecked" in field && field.checked !== field.defaultChecked);
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
      return void old.replaceWith(fresh);
    }
    if (old.nodeType !== 1) {
      return void (old.nodeValue !== fresh.nodeValue && (old.nodeValue = fresh.nodeValue));
    }
    // What a script says about something in this browser: the server knows nothing of it.
    if ("keep" in old.dataset) return;
    const field = /^(INPUT|TEXTAREA|SELECT)$/.test(old.nodeName) && old.type !== "hidden";
    if (field && isTyped(old)) return;
    for (const { name } of Array.from(old.attributes)) {
      if (!fresh.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
    }
    for (const { name, value } of Array.from(fresh.attributes)) {
      if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    if (old.nodeName === "TEXTAREA") return;
    const keyed = new Map(Array.from(old.childNodes).filter(keyOf).map((node) => [keyOf(node), node]));
    let at = old.firstChild;
    for (const child of Array.from(fresh.childNodes)) {
      // What was refused stays until somebody leaves the page: their words stand in it.
      if (at && at.id === "alert") at = at.nextSibling;
      const key = keyOf(child);
      const known = key ? keyed.get(key) : at && !keyOf(at) && at.nodeName === child.nodeName ? at : null;
      if (known && known === at) at = at.nextSibling;
      else old.insertBefore(known || child, at);
      if (known) morph(known, child);
    }
    for (let next; at; at = next) {
      next = at.nextSibling;
      if (at.id !== "alert") at.remove();
    }
  };

  // The page again, with the viewer's own rights.
  let fetching = false;
  let again = false;
  const refresh = async () => {
    again = fetching;
    if (fetching) return;
    fetching = true;
    try {
      const room = $("#room");
      const place = room.dataset.self || location.pathname + location.search;
      const answer = await fetch(place, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (answer.redirected) return void location.reload();
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      const page = new DOMParser().parseFromString(text, "text/html");
      const fresh = $("#room", page);
      const broken = $("#broken", page);
      if (broken) morph($("#broken"), document.adoptNode(broken));
      if (fresh) {
        const before = $("#needs") ? $("#needs").dataset.count : "0";
        morph(room, document.adoptNode(fresh));
        const after = $("#needs") ? $("#needs").dataset.count : "0";
        takeTime();
        tick();
        watchFields();
        if (Number(after) > Number(before)) say(`${after} things need you now`);
      }
    } finally {
      fetching = false;
      if (again) setTimeout(() => refresh().catch(lost), 100);
    }
  };

  // News. The browser says where it was when it comes back, so nothing is missed.
  const connection = (words) => {
    const line = $("#connection");
    if (line && line.textContent !== words) line.textContent = words;
  };
  const lost = () => connection("Connection lost, reconnecting …");
  let last = 0;
  let due = 0;
  const soon = () => {
    clearTimeout(due);
    due = setTimeout(() => refresh().then(() => connection("")).catch(lost), 120);
  };
  const listen = () => {
    const room = $("#room[data-events]");
    if (!room) return;
    last = Math.max(last, Number(room.dataset.seq || 0));
    const source = new EventSource(`${room.dataset.events}?after=${last}`);
    let dropped = false;
    source.addEventListener("open", () => {
      if (dropped) soon();
      dropped = false;
    });
    source.addEventListener("entry", (event) => {
      const seq = Number(event.lastEventId);
      if (seq <= last) return;
      last = seq;
      const page = document.documentElement.dataset;
      page.heard = String(Number(page.heard || 0) + 1);
      soon();
    });
    source.addEventListener("error", () => {
      dropped = true;
      lost();
      // A refusal ends it for good; a proxy that is away for a moment answers with one.
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(() => refresh().then(() => connection("")).catch(lost).finally(listen), 2000);
      }
    });
    addEventListener("pagehide", () => source.close(), { once: true });
  };

  // What looks like a secret is said before it is sent. The server looks again, with all its rules.
  const SECRETS = [
    [/-----BEGIN [A-Z ]*PRIVATE KEY/, "a private key"],
    [/\b(AKIA|ASIA)[A-Z0-9]{16}\b/, "an AWS access key"],
    [/\b(gh[pousr]_|github_pat_)[A-Za-z0-9_]{20,}/, "a GitHub token"],
    [/\bglpat-[A-Za-z0-9_-]{16,}/, "a GitLab token"],
    [/\bxox[a-z]-[A-Za-z0-9-]{10,}/, "a Slack token"],
    [/\bqll_[A-Za-z0-9]{16,}/, "a token of Quell"],
    [/\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]+:[^\s@/]{3,}@/i, "a URL with a password"],
    [/\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\./, "a signed token (JWT)"],
    [/\b(password|passwd|secret|token|api[_-]?key)\s*[:=]\s*\S{8,}/i, "a password or key"],
    [/\b(?=[A-Za-z0-9+/_-]*\d)(?=[A-Za-z0-9+/_-]*[A-Z])(?=[A-Za-z0-9+/_-]*[a-z])[A-Za-z0-9+/_-]{28,}\b/, "a random value"],
  ];
  const watchFields = () => {
    for (const field of all("[data-watch]")) {
      if (field.dataset.watched) continue;
      field.dataset.watched = "yes";
      field.addEventListener("input", () => {
        const found = SECRETS.find(([pattern]) => pattern.test(field.value));
        const line = document.getElementById(field.dataset.watch);
        if (!line) return;
        const words = found ? `${line.dataset.found} (${found[1]})` : "";
        if (line.textContent !== words) line.textContent = words;
        field.setCustomValidity(found && field.dataset.refuse ? words : "");
      });
    }
  };

  takeTime();
  tick();
  setInterval(tick, 1000);
  watchFields();
  listen();
  // Who is looking is no entry of the ledger, so it is asked for now and then.
  if ($("#room[data-events]")) setInterval(() => refresh().then(() => connection("")).catch(lost), 30000);
})();
