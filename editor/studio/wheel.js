// Keeps the wheel's marks and props.value, the list of chosen emotions, the same; the template itself never changes.
const wedges = () => [...element.querySelectorAll("[data-emotion]")];
const stops = () => [...element.querySelectorAll("[data-key]")];
const chosen = () => new Set(Array.isArray(props.value) ? props.value : []);

function paint(focused) {
  const set = chosen();
  for (const wedge of wedges()) wedge.setAttribute("aria-checked", String(set.has(wedge.dataset.emotion)));
  const names = wedges().filter((w) => set.has(w.dataset.emotion)).map((w) => w.getAttribute("aria-label"));
  element.querySelector(".count").textContent = `${names.length} of ${wedges().length}`;
  element.querySelector(".chosen").textContent = names.length ? names.join(", ") : "none chosen";
  const all = stops();
  const first = all.find((stop) => stop.dataset.key === focused) || all.find((stop) => set.has(stop.dataset.key)) || all[0];
  for (const stop of all) stop.setAttribute("tabindex", stop === first ? "0" : "-1");
  if (focused) first.focus();
}

function choose(set, focused) {
  props.value = wedges().map((wedge) => wedge.dataset.emotion).filter((name) => set.has(name));
  requestAnimationFrame(() => paint(focused));
}

function act(stop) {
  const set = chosen();
  const { emotion, group, key } = stop.dataset;
  if (emotion) set.has(emotion) ? set.delete(emotion) : set.add(emotion);
  else if (group) {
    const members = wedges().filter((wedge) => wedge.dataset.of === group).map((wedge) => wedge.dataset.emotion);
    const all = members.every((name) => set.has(name));
    for (const name of members) all ? set.delete(name) : set.add(name);
  } else set.clear();
  choose(set, key);
}

element.addEventListener("click", (event) => {
  const stop = event.target.closest("[data-key]");
  if (stop) act(stop);
});

element.addEventListener("keydown", (event) => {
  const stop = event.target.closest("[data-key]");
  if (!stop) return;
  const all = stops();
  const at = all.indexOf(stop);
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  let to = null;
  if (event.key in steps) to = all[(at + steps[event.key] + all.length) % all.length];
  else if (event.key === "Home") to = all[0];
  else if (event.key === "End") to = all[all.length - 1];
  else if (event.key === " " || event.key === "Enter") act(stop);
  else return;
  event.preventDefault();
  if (to) paint(to.dataset.key);
});

watch("value", () => paint());
paint();
