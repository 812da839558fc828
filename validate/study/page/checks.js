// The check task: four questions about an edited picture and its caption, each answered with yes or no.
"use strict";

const lines = [...document.querySelectorAll("#sentences li")];
let said = {};

function draw() {
  for (const line of lines) {
    for (const button of line.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(said[line.dataset.name] === (button.dataset.says === "yes")));
    }
  }
  byId("save").disabled = saving || lines.some((line) => said[line.dataset.name] === undefined);
}

function say(name, yes) {
  said[name] = yes;
  draw();
}

function sayRest() {
  for (const line of lines) if (said[line.dataset.name] === undefined) said[line.dataset.name] = true;
  draw();
}

function fill() {
  said = {};
  for (const name of ["source", "edited"]) byId(name).src = link + "/picture/" + item[name];
  for (const name of ["emotion", "target", "caption", "edited_caption", "instruction"]) byId(name).textContent = item[name];
  byId("span").textContent = item.span ? "(marked: " + item.span + ")" : "";
}

async function goOn() {
  if (!byId("save").disabled && !saving) await saveAndGoOn({ item: item.item, ...said });
}

function pressed(event) {
  if (pressesOtherButton(event)) return;
  if (event.key === "Enter") {
    event.preventDefault();
    return goOn();
  }
  if (event.key.toLowerCase() === "a") return sayRest();
  const line = lines["1234".indexOf(event.key)];
  if (line) say(line.dataset.name, said[line.dataset.name] !== true);
}

for (const line of lines) {
  for (const button of line.querySelectorAll("button")) {
    button.addEventListener("click", () => say(line.dataset.name, button.dataset.says === "yes"));
  }
}
byId("rest").addEventListener("click", sayRest);
byId("save").addEventListener("click", goOn);
run({ part: "checks", fill, draw, pressed });
