// The ranking task: the best of some candidates, or none.
"use strict";

let best = "";

function draw() {
  byId("question").textContent = "Emotion: " + item.emotion + ". Pick the best edit.";
  for (const button of [...byId("grid").children, byId("none")]) {
    button.setAttribute("aria-pressed", String(best === (button.dataset.name || "none")));
  }
  byId("save").disabled = saving || !best;
}

function pick(name) {
  best = best === name ? "" : name;
  draw();
}

function fill() {
  best = "";
  byId("source").src = link + "/picture/" + item.source;
  byId("grid").replaceChildren(...item.candidates.map((name, place) => editButton(name, place, pick)));
}

async function goOn() {
  if (!byId("save").disabled && !saving) await saveAndGoOn({ item: item.item, best });
}

function pressed(event) {
  if (pressesOtherButton(event)) return;
  if (event.key === "Enter") {
    event.preventDefault();
    return goOn();
  }
  if (event.key === "0") return pick("none");
  const place = "123456789".indexOf(event.key);
  if (place >= 0 && place < item.candidates.length) pick(item.candidates[place]);
}

byId("none").addEventListener("click", () => pick("none"));
byId("save").addEventListener("click", goOn);
run({ part: "ranking", fill, draw, pressed });
