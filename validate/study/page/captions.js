// The caption task: a preference first, which is then final for the eye, and five sentences after it.
"use strict";

const choices = [...document.querySelectorAll(".choice")];
const reasons = [...document.querySelectorAll(".reason")];
const reasonKeys = "wedco";
let choice = "", reason = "", accurate = [], seen = false;

function needsReason() {
  return accurate.some((one) => one === false) || choice !== likedPlace();
}

function likedPlace() {
  // the text whose sentences are being judged
  const caption = item.sentences.join(" ");
  return item.left === caption ? "left" : "right";
}

function draw() {
  for (const button of choices) {
    button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
    // nobody can choose before the picture is there
    button.disabled = choice !== "" || !seen;
  }
  byId("parts").hidden = !choice;
  byId("task").classList.toggle("judging", choice !== "");
  [...byId("sentences").children].forEach((line, place) => {
    for (const button of line.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(accurate[place] === (button.dataset.says === "yes")));
    }
  });
  const asked = choice !== "" && needsReason();
  byId("why").hidden = !asked;
  byId("wrong").textContent = accurate.includes(false) ? "What is wrong?" : "What keeps these sentences from being the better text?";
  for (const button of reasons) button.setAttribute("aria-pressed", String(button.dataset.reason === reason));
  byId("save").disabled = saving || !choice || accurate.includes(null) || (asked && reason === "");
}

function sentenceLine(text, place) {
  const line = document.createElement("li");
  const words = document.createElement("span");
  words.textContent = text;
  line.append(words);
  for (const [says, label] of [["yes", "accurate"], ["no", "not accurate"]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.says = says;
    button.textContent = label;
    button.addEventListener("click", () => judge(place, says === "yes"));
    line.append(button);
  }
  return line;
}

function judge(place, says) {
  accurate[place] = says;
  draw();
}

function choose(name) {
  if (choice || !seen) return;
  choice = name;
  draw();
  byId("parts").scrollIntoView({ block: "nearest" });
}

function giveReason(name) {
  if (byId("why").hidden) return;
  reason = name;
  draw();
}

function fill() {
  choice = ""; reason = ""; accurate = item.sentences.map(() => null);
  showPicture(item.picture);
  byId("credit").textContent = "Picture: " + (item.creator || "creator not named") + ", " + item.licence;
  byId("left").textContent = item.left;
  byId("right").textContent = item.right;
  byId("sentences").replaceChildren(...item.sentences.map(sentenceLine));
  byId("comment").value = "";
}

function showPicture(name) {
  seen = false;
  byId("task").dataset.seen = "no";
  byId("picture").onload = () => {
    seen = true;
    byId("task").dataset.seen = "yes";
    draw();
  };
  byId("picture").onerror = () => trouble("The picture did not load. Please reload this page.");
  byId("picture").src = link + "/picture/" + name;
}

async function save() {
  if (byId("save").disabled || saving) return;
  const asked = needsReason();
  await saveAndGoOn({ item: item.item, choice, accurate, reason: asked ? reason : "", comment: byId("comment").value });
}

function pressed(event) {
  const typing = event.target.tagName === "TEXTAREA";
  if (pressesOtherButton(event)) return;
  if (event.key === "Enter" && !(typing && event.shiftKey)) {
    event.preventDefault();
    return save();
  }
  if (typing) return;
  const key = event.key.toLowerCase();
  const number = "12345".indexOf(key);
  if (!choice && number >= 0 && number < 3) choose(["left", "right", "neither"][number]);
  else if (choice && number >= 0) judge(number, accurate[number] !== true);
  else if (choice && key === "a") markRest();
  else if (choice && reasonKeys.includes(key)) giveReason(reasons[reasonKeys.indexOf(key)].dataset.reason);
}

function markRest() {
  accurate = accurate.map((one) => (one === null ? true : one));
  draw();
}

for (const button of choices) button.addEventListener("click", () => choose(button.dataset.choice));
for (const button of reasons) button.addEventListener("click", () => giveReason(button.dataset.reason));
byId("rest").addEventListener("click", markRest);
byId("save").addEventListener("click", save);
byId("help").addEventListener("click", () => show("training"));
run({ part: "task", fill, draw, pressed });
