// Sends answers to the server, and keeps at it while the server is away; an answer leaves the page only when it is saved.
"use strict";

const link = document.body.dataset.link;
const pending = "pending:" + link;

function trouble(text) {
  const line = document.getElementById("trouble");
  line.textContent = text;
  line.hidden = !text;
}

function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  for (;;) {
    try {
      const answer = await fetch(link + path, options);
      if (answer.status < 500) {
        trouble(answer.ok ? "" : "The server refused this: " + answer.status);
        return answer.ok ? await answer.json() : null;
      }
    } catch (error) {
      // the server is away: the same request is made again, and an answer that was saved already is not saved twice
    }
    trouble("The server does not answer. Your answer is kept here and will be sent again.");
    await pause(1000);
  }
}

async function saveAnswer(answer) {
  localStorage.setItem(pending, JSON.stringify(answer));
  const saved = await ask("/answer", answer);
  localStorage.removeItem(pending);
  return saved;
}

async function sendPending() {
  const kept = localStorage.getItem(pending);
  if (kept) await saveAnswer(JSON.parse(kept));
}
