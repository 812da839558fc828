// What the tasks share: which part of the page is seen, the way from item to item, and the start.
"use strict";

const byId = (id) => document.getElementById(id);
let task = null, item = null, saving = false;

function show(name) {
  // before the first question there is nothing to be helped with, and after the last nothing to go back to
  if (byId("help")) byId("help").hidden = name !== task.part;
  for (const part of document.querySelectorAll("main")) part.hidden = part.id !== name;
}

async function next() {
  const step = await ask("/next");
  if (!step) return;
  byId("count").textContent = step.done + " of " + step.total;
  byId("bar").style.width = (step.total ? (100 * step.done) / step.total : 100) + "%";
  byId("bar").parentElement.setAttribute("aria-valuenow", String(step.done));
  byId("bar").parentElement.setAttribute("aria-valuemax", String(step.total));
  item = step.asked;
  if (!item) return finish(step.end);
  byId("start").textContent = "Back to the picture";
  task.fill();
  byId(task.part).dataset.item = item.item;
  show(task.part);
  task.draw();
  window.scrollTo(0, 0);
}

// end: what a panel's participant is told, the code to enter there, and where to go; null for annotators of one's own
function finish(end) {
  show("done");
  if (!end) return;
  byId("says").textContent = end.says;
  byId("saved").hidden = true;
  byId("ending").hidden = !end.code;
  byId("code").textContent = end.code;
  byId("onward").hidden = !end.address;
  if (end.address) {
    byId("onward").href = end.address;
    window.location.assign(end.address);
  }
}

async function consent(agreed) {
  if (!(await ask("/consent", { agreed }))) return;
  document.body.dataset.consented = "yes";
  if (agreed) show("training");
  else await next();
}

async function withdraw() {
  if (window.confirm("Stop here, and delete every answer of yours?")) await consent(false);
}

async function saveAndGoOn(answer) {
  saving = true;
  task.draw();
  await saveAnswer(answer);
  saving = false;
  await next();
}

// Enter on a button that has the focus presses it, as long as there is nothing to save
function pressesOtherButton(event) {
  return event.key === "Enter" && event.target.tagName === "BUTTON" && event.target.id !== "save" && byId("save").disabled;
}

// an edit to pick; pick(name) hears of it
function editButton(name, place, pick) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "edit";
  button.dataset.name = name;
  const image = document.createElement("img");
  image.src = link + "/picture/" + name;
  image.alt = "Edit " + (place + 1);
  const label = document.createElement("span");
  label.textContent = "Edit " + (place + 1);
  button.append(image, label);
  button.addEventListener("click", () => pick(name));
  return button;
}

async function start() {
  // the page of instructions was opened in the middle: the answer so far stays
  if (item) return show(task.part);
  await ask("/trained", {});
  document.body.dataset.trained = "yes";
  await next();
}

// part: the task's <main>; fill(): puts the new item there; draw(): shows what is answered so far; pressed(event): a key
async function run(ofPage) {
  task = ofPage;
  byId("start").addEventListener("click", start);
  document.addEventListener("keydown", (event) => {
    if (!byId(task.part).hidden && !event.ctrlKey && !event.metaKey && !event.altKey) task.pressed(event);
  });
  for (const [id, act] of [["agree", () => consent(true)], ["decline", () => consent(false)], ["withdraw", withdraw]]) {
    if (byId(id)) byId(id).addEventListener("click", act);
  }
  await sendPending();
  if (document.body.dataset.consented === "no") show("consent");
  else if (document.body.dataset.trained === "yes") await next();
  else show("training");
}
