// The edit task: three edits are picked for each question in turn.
"use strict";

const questions = [...byId("asked").content.querySelectorAll("p")].map((line) => [line.dataset.name, line.textContent]);
let step = 0, picked = [], answer = {};

function draw() {
  byId("question").textContent = "Emotion: " + item.emotion + ". Pick the " + item.picked + " edits that " + questions[step][1] + ".";
  [...byId("grid").children].forEach((button) => {
    button.setAttribute("aria-pressed", String(picked.includes(button.dataset.name)));
  });
  byId("save").disabled = saving || picked.length !== item.picked;
}

function pick(name) {
  if (picked.includes(name)) picked = picked.filter((one) => one !== name);
  else if (picked.length < item.picked) picked.push(name);
  draw();
}

function fill() {
  step = 0; picked = []; answer = { item: item.item };
  byId("source").src = link + "/picture/" + item.source;
  byId("grid").replaceChildren(...item.edits.map((name, place) => editButton(name, place, pick)));
}

async function goOn() {
  if (byId("save").disabled || saving) return;
  answer[questions[step][0]] = picked;
  picked = [];
  step += 1;
  if (step < questions.length) return draw();
  step -= 1;
  await saveAndGoOn(answer);
}

function pressed(event) {
  if (pressesOtherButton(event)) return;
  if (event.key === "Enter") {
    event.preventDefault();
    return goOn();
  }
  const place = "123456789".indexOf(event.key);
  if (place >= 0 && place < item.edits.length) pick(item.edits[place]);
}

byId("save").addEventListener("click", goOn);
run({ part: "edits", fill, draw, pressed });
