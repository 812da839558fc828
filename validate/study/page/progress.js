// Renews the figures in place: a reload would take focus and the reading position of those who use a screen reader.
"use strict";

const EVERY_MS = 15000;

async function renew() {
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["progress", ".figures"]) {
      document.querySelector(`main ${part}`).replaceWith(page.querySelector(`main ${part}`));
    }
  } catch {
    // the server is away for the moment; the figures stay until it answers
  }
}

setInterval(renew, EVERY_MS);
