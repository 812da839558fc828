// Gradio's widgets lack some names and roles that screen readers need, or name them otherwise than they are shown.
function nameWidgets() {
  for (const frame of document.querySelectorAll("div[aria-label]:not([role])"))
    frame.setAttribute("role", frame.querySelector("button, input, a, [tabindex]") ? "group" : "img");
  for (const button of document.querySelectorAll("button.thumbnail-item, button.upload-container")) {
    const text = button.innerText.trim().replace(/\s+/g, " ");
    if (text && button.getAttribute("aria-label") !== text) button.setAttribute("aria-label", text);
  }
  for (const button of document.querySelectorAll("button:not([aria-label]):not([title])"))
    if (!button.innerText.trim()) button.setAttribute("aria-label", "picture");
}
new MutationObserver(nameWidgets).observe(document.documentElement, { childList: true, subtree: true });
