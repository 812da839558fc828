// What both tasks share: which part of the page is seen, the way from item to item, and the start.
"use strict";

const byId = (id) => document.getElementById(id);
let task = null, item = null, saving = false;

function show(name) {
  for (const part of document.querySelectorAll("main")) part.hidden = part.id !== name;
}

async function next() {
  const told = await ask("/next");
  if (!told) return;
  byId("count").textContent = told.done + " of " + told.total;
  byId("bar").style.width = (told.total ? (100 * told.done) / told.total : 100) + "%";
  item = told.asked;
  if (!item) return show("done");
  task.fill();
  byId(task.part).dataset.item = item.item;
  show(task.part);
  task.draw();
  window.scrollTo(0, 0);
}

async function saveAndGoOn(answer) {
  saving = true;
  task.draw();
  await saveAnswer(answer);
  saving = false;
  await next();
}

async function start() {
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
  await sendPending();
  if (document.body.dataset.trained === "yes") await next();
  else show("training");
}
