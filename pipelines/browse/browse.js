// The wall: asks for rows as it is scrolled, keeps only the visible tiles in the page, and sends marks until they are saved.
"use strict";

const PAGE = 120, LEAST = 150, GAP = 8, SAYS = 50, SPARE_ROWS = 3;
const LETTER = { g: "good", t: "takedown" };
const PENDING = "pending:" + location.pathname;

const at = (id) => document.getElementById(id);
const grid = at("grid"), form = at("filters"), detail = at("detail"), why = at("why");
const wall = { rows: [], next: null, total: null, asked: 0, busy: false, active: 0, tiles: new Map(), columns: 1, side: LEAST, like: null };
const undo = [];
let looked = null;

function say(text) { at("said").textContent = text; }

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

async function get(path, options) {
  try {
    const answer = await fetch(path, options);
    const body = await answer.json();
    trouble(answer.ok ? "" : body.error || "The server refused this.");
    return answer.ok ? body : null;
  } catch (error) {
    trouble("The server does not answer. Start it again; marks that were not saved yet are kept here.");
    return null;
  }
}

// --- the wall

function chosen() {
  const pairs = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value) pairs.append(name, value);
  return pairs;
}

// where the first rows come from: the wall, or what is like a picture or a text
function address(pairs) {
  if (wall.like?.file) return ["similar-picture?" + pairs, { method: "POST", headers: { "Content-Type": wall.like.file.type || "image/jpeg" }, body: wall.like.file }];
  if (wall.like) return [`${wall.like.how}/${wall.like.key}?` + pairs];
  if (at("by")?.value === "meaning" && pairs.get("words")) return ["similar-text?" + pairs];
  return ["wall?most=" + PAGE + (pairs.size ? "&" + pairs : "")];
}

async function begin() {
  const turn = ++wall.asked;
  const pairs = chosen();
  history.replaceState(null, "", pairs.size ? "?" + pairs : location.pathname);
  wall.busy = true;
  const answer = await get(...address(pairs));
  if (turn !== wall.asked) return;
  wall.busy = false;
  if (!answer) return;
  Object.assign(wall, { rows: answer.rows, next: answer.next, total: answer.total ?? answer.rows.length, active: 0 });
  at("count").textContent = wall.total.toLocaleString("en") + (wall.total === 1 ? " picture" : " pictures");
  for (const tile of wall.tiles.values()) tile.remove();
  wall.tiles.clear();
  scrollTo(0, 0);
  layOut();
}

async function more() {
  if (wall.busy || !wall.next) return;
  wall.busy = true;
  const turn = wall.asked;
  const pairs = chosen();
  pairs.set("most", PAGE);
  pairs.set("after", wall.next);
  const answer = await get("wall?" + pairs);
  wall.busy = false;
  if (!answer || turn !== wall.asked) return;
  wall.rows.push(...answer.rows);
  wall.next = answer.next;
  layOut();
}

function layOut() {
  const width = grid.clientWidth || 320;
  wall.columns = Math.max(2, Math.floor((width + GAP) / (LEAST + GAP)));
  wall.side = Math.floor((width - GAP * (wall.columns - 1)) / wall.columns);
  const lines = Math.ceil(wall.rows.length / wall.columns);
  grid.style.height = lines * (wall.side + SAYS + GAP) + "px";
  draw();
}

function draw() {
  const high = wall.side + SAYS + GAP;
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / high) - SPARE_ROWS) * wall.columns;
  const last = Math.min(wall.rows.length, (Math.ceil((top + innerHeight) / high) + SPARE_ROWS) * wall.columns);
  for (const [index, tile] of wall.tiles) {
    if ((index < first || index >= last) && index !== wall.active) { tile.remove(); wall.tiles.delete(index); }
  }
  for (let index = first; index < last; index++) place(index);
  if (wall.rows.length && !wall.tiles.has(wall.active)) place(wall.active);
  if (last >= wall.rows.length - 2 * wall.columns) more();
}

function place(index) {
  let tile = wall.tiles.get(index);
  if (!tile) {
    tile = make(index);
    wall.tiles.set(index, tile);
    const after = [...wall.tiles.keys()].filter((other) => other > index).sort((a, b) => a - b)[0];
    grid.insertBefore(tile, after === undefined ? null : wall.tiles.get(after));
  }
  const column = index % wall.columns, line = Math.floor(index / wall.columns);
  tile.style.width = wall.side + "px";
  tile.style.height = wall.side + SAYS + "px";
  tile.firstChild.style.height = wall.side + "px";
  tile.style.transform = `translate(${column * (wall.side + GAP)}px, ${line * (wall.side + SAYS + GAP)}px)`;
  tile.setAttribute("aria-posinset", index + 1);
  tile.setAttribute("aria-setsize", wall.total);
}

function spaced(name) { return (name || "").replaceAll("_", " "); }

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function isVeiled(row) { return row.verdict === "unsafe" || row.verdict === "doubtful"; }

function make(index) {
  const row = wall.rows[index];
  const tile = element("div", "tile");
  tile.role = "option";
  tile.tabIndex = index === wall.active ? 0 : -1;
  tile.dataset.index = index;
  tile.dataset.key = row.key;
  const frame = element("span", "frame");
  if (row.stored) {
    const image = element("img", isVeiled(row) ? "veiled" : "");
    image.alt = row.title || "picture without a title";
    image.decoding = "async";
    image.src = "thumb/" + row.key;
    image.addEventListener("error", () => frame.replaceChildren(element("span", "none", "no picture")));
    frame.append(image);
  } else {
    frame.append(element("span", "none", "no picture"));
  }
  const score = row.score === null ? "" : row.score.toFixed(3) + " · ";
  tile.append(frame, element("span", "says", spaced(row.emotion) + ", " + spaced(row.context)),
    element("span", "says " + row.reason, nearness(row) || score + spaced(row.reason) + (row.set ? " · " + row.set : "")));
  showMark(tile, row);
  return tile;
}

function nearness(row) {
  if (row.bits !== undefined) return `${row.bits} of 64 bits differ`;
  return row.cosine === undefined ? "" : `cosine ${row.cosine.toFixed(3)}`;
}

function showMark(tile, row) {
  tile.querySelector(".mark")?.remove();
  if (row.mark) tile.append(element("span", "mark " + row.mark, row.mark));
  tile.setAttribute("aria-selected", row.mark ? "true" : "false");
}

function move(to) {
  if (!wall.rows.length) return;
  const before = wall.tiles.get(wall.active);
  wall.active = Math.max(0, Math.min(wall.rows.length - 1, to));
  if (before) before.tabIndex = -1;
  place(wall.active);
  const tile = wall.tiles.get(wall.active);
  tile.tabIndex = 0;
  tile.focus({ preventScroll: true });
  tile.scrollIntoView({ block: "nearest" });
}

grid.addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (tile) { move(Number(tile.dataset.index)); look(); }
});
addEventListener("scroll", draw, { passive: true });
addEventListener("resize", layOut);

// --- one picture

async function look() {
  const row = wall.rows[wall.active];
  if (!row) return;
  const answer = await get("image/" + row.key);
  if (!answer) return;
  looked = answer.key;
  at("detail-title").textContent = answer.title || answer.key;
  const large = at("large");
  large.hidden = !answer.stored;
  at("no-picture").hidden = answer.stored;
  large.className = isVeiled(answer) ? "veiled" : "";
  large.alt = answer.title || "picture without a title";
  if (answer.stored) large.src = "picture/" + answer.key; else large.removeAttribute("src");
  at("detail-mark").textContent = row.mark ? "marked: " + row.mark : "";
  at("history").replaceChildren(...answer.history.flatMap(({ title, rows }) => {
    const list = element("dl");
    for (const [name, value] of rows) {
      if (name) list.append(element("dt", "", spaced(name)), element("dd", "", value));
      else list.append(element("dt", "", ""), element("dd", "", value));
    }
    return [element("h3", "", title), list];
  }));
  if (!detail.open) detail.showModal();
  detail.scrollTop = 0;
  at("detail-title").focus();
}

detail.addEventListener("close", () => { looked = null; wall.tiles.get(wall.active)?.focus(); });
at("close-detail").addEventListener("click", () => detail.close());
at("large").addEventListener("click", () => at("large").classList.remove("veiled"));
for (const button of detail.querySelectorAll("[data-mark]")) {
  button.addEventListener("click", () => (button.dataset.mark === "reject" ? ask() : mark(button.dataset.mark)));
}
for (const how of ["near", "similar"]) {
  at(how)?.addEventListener("click", () => {
    const key = looked;
    detail.close();
    likeOf({ how, key, says: `Pictures that look like ${key}. ` });
  });
}
at("upload")?.addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) likeOf({ file, says: `Pictures like ${file.name}. ` });
});

function likeOf(like) {
  wall.like = like;
  const line = at("like");
  line.hidden = !like;
  const back = element("button", "", "All pictures");
  back.addEventListener("click", () => likeOf(null));
  line.replaceChildren(like ? like.says : "", back);
  begin();
}

// --- marks: each is sent until the server has it on its disk

function pending() { return JSON.parse(localStorage.getItem(PENDING) || "[]"); }

let sending = null;

function send(wanted) {
  if (wanted) localStorage.setItem(PENDING, JSON.stringify([...pending(), wanted]));
  sending ??= sendAll().finally(() => { sending = null; });
  return sending;
}

async function sendAll() {
  for (let waiting = pending(); waiting.length; waiting = pending()) {
    const [first] = waiting;
    try {
      const answer = await fetch("mark", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(first) });
      if (answer.status >= 500) throw new Error("server");
      if (answer.ok) trouble(""); else trouble((await answer.json()).error);
    } catch (error) {
      trouble("The server does not answer. Your marks are kept here and will be sent again.");
      await new Promise((resolve) => setTimeout(resolve, 1000));
      continue;
    }
    localStorage.setItem(PENDING, JSON.stringify(pending().slice(1)));
  }
}

function mark(name, reason = "", key = wall.rows[wall.active]?.key, keep = true) {
  const index = wall.rows.findIndex((row) => row.key === key);
  const row = wall.rows[index];
  if (!row) return;
  if (keep) undo.push({ key, mark: row.mark || "", reason: row.why || "" });
  row.mark = name || null;
  row.why = reason;
  if (wall.tiles.has(index)) showMark(wall.tiles.get(index), row);
  if (looked === key) at("detail-mark").textContent = name ? "marked: " + name : "";
  say(name ? `${name}${reason ? ": " + spaced(reason) : ""}` : "mark taken back");
  send({ key, mark: name, reason });
}

function takeBack() {
  const last = undo.pop();
  if (!last) { say("nothing to undo"); return; }
  mark(last.mark, last.mark === "reject" ? last.reason || "other" : "", last.key, false);
}

function ask() { if (wall.rows[wall.active]) why.showModal(); }

const reasons = [...why.querySelectorAll("[data-reason]")];
for (const button of reasons) {
  button.addEventListener("click", () => { why.close(); mark("reject", button.dataset.reason); });
}
at("close-why").addEventListener("click", () => why.close());
why.addEventListener("close", () => { if (!detail.open) wall.tiles.get(wall.active)?.focus(); });

// --- cells and phrases

const lines = { more: new Map(), drop: new Set() };

function show(view) {
  at("wall").hidden = view !== "wall";
  at("cells").hidden = view !== "cells";
  at("like").hidden = view !== "wall" || !wall.like;
  at("show-wall").setAttribute("aria-pressed", view === "wall");
  at("show-cells").setAttribute("aria-pressed", view === "cells");
  if (view === "wall") layOut(); else listCells();
}

function cell(text, number) { return element("td", number ? "number" : "", text); }

async function listCells() {
  const cells = await get("cells");
  at("cell-rows").replaceChildren(...(cells || []).map((one) => {
    const row = element("tr", one.weak ? "weak" : ""), name = element("td"), button = element("button", "", `${spaced(one.emotion)}, ${spaced(one.context)}`);
    button.addEventListener("click", () => listPhrases(one.emotion, one.context));
    name.append(button);
    row.append(name, cell(one.found.toLocaleString("en"), true), cell(one.kept.toLocaleString("en") + (one.weak ? " (weak)" : ""), true),
      cell(one.score === null ? "" : one.score.toFixed(3), true));
    return row;
  }));
}

async function listPhrases(emotion, context) {
  const found = await get("phrases?" + new URLSearchParams({ emotion, context }));
  at("phrases").hidden = false;
  at("phrases-title").textContent = `${spaced(emotion)}, ${spaced(context)}`;
  at("phrase-rows").replaceChildren(...(found || []).map((one) => {
    const row = element("tr"), actions = element("td"), more = element("button", "", "More like this"), drop = element("button", "", "Drop");
    more.setAttribute("aria-label", `More like this: “${one.phrase}”`);
    drop.setAttribute("aria-label", `Drop “${one.phrase}”`);
    more.addEventListener("click", () => { wish("more", `${emotion}/${context}`, one.phrase); });
    drop.addEventListener("click", () => { wish("drop", "", one.phrase); });
    actions.append(more, " ", drop);
    row.append(cell(one.phrase), cell(one.found.toLocaleString("en"), true), cell(one.kept.toLocaleString("en"), true), cell(String(one.rejected), true), actions);
    return row;
  }));
  at("phrases-title").scrollIntoView({ block: "nearest" });
}

function wish(kind, name, phrase) {
  if (kind === "drop") {
    lines.drop.add(phrase);
    for (const phrases of lines.more.values()) phrases.delete(phrase);
  } else {
    lines.drop.delete(phrase);
    if (!lines.more.has(name)) lines.more.set(name, new Set());
    lines.more.get(name).add(phrase);
  }
  const listed = (phrases) => "[" + [...phrases].map((text) => JSON.stringify(text)).join(", ") + "]";
  const text = [];
  if (lines.drop.size) text.push("[descriptors]", `drop = ${listed(lines.drop)}`, "");
  const wanted = [...lines.more].filter(([, phrases]) => phrases.size);
  if (wanted.length) text.push("[descriptors.more_like]", ...wanted.map(([of, phrases]) => `"${of}" = ${listed(phrases)}`));
  at("lines").textContent = text.join("\n").trim();
}

at("show-wall").addEventListener("click", () => show("wall"));
at("show-cells").addEventListener("click", () => show("cells"));

// --- filters and keys

let typing = 0;
form.addEventListener("input", (event) => {
  if (event.target.type === "file") return;
  clearTimeout(typing);
  typing = setTimeout(begin, ["search", "number"].includes(event.target.type) ? 250 : 0);
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clearTimeout(typing);
  await begin();
  move(0);
});
form.addEventListener("reset", () => setTimeout(begin, 0));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (why.open) {
    const button = reasons[Number(key) - 1];
    if (button) { event.preventDefault(); button.click(); }
    return;
  }
  if (event.target.matches("input, select")) {
    if (key === "Escape") wall.tiles.get(wall.active)?.focus();
    return;
  }
  const onTile = event.target.closest?.(".tile");
  const marking = detail.open || (!at("wall").hidden && (onTile || event.target === document.body || event.target === grid));
  if (key === "/" && !detail.open) { event.preventDefault(); show("wall"); at("words").focus(); return; }
  if (marking && LETTER[key]) { event.preventDefault(); mark(LETTER[key]); return; }
  if (marking && key === "r") { event.preventDefault(); ask(); return; }
  if (key === "u") { event.preventDefault(); takeBack(); return; }
  if (detail.open || at("wall").hidden) return;
  if (key === "Escape" && wall.like) { likeOf(null); return; }
  if (key === "Enter" && onTile) { event.preventDefault(); look(); return; }
  const page = Math.max(1, Math.floor(innerHeight / (wall.side + SAYS + GAP)) - 1) * wall.columns;
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wall.columns, ArrowDown: wall.columns, PageDown: page, PageUp: -page, Home: -wall.active, End: wall.rows.length };
  if (key in steps && (onTile || event.target === document.body)) {
    event.preventDefault();
    move(onTile ? wall.active + steps[key] : wall.active);
  }
});

for (const [name, value] of new URLSearchParams(location.search)) {
  const field = form.elements.namedItem(name);
  if (field) field.value = value;
}
begin();
send();
