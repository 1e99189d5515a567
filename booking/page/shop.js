"use strict";
// Counts holds down. The server's clock decides: the page only knows how far its own is off.
for (const timer of document.querySelectorAll("[data-expires]")) {
  const ahead = Date.now() - Date.parse(timer.dataset.now);
  const expires = Date.parse(timer.dataset.expires);
  const show = () => {
    const left = Math.max(0, Math.ceil((expires - (Date.now() - ahead)) / 1000));
    const minutes = Math.floor(left / 60);
    timer.textContent = `${minutes}:${String(left % 60).padStart(2, "0")} left`;
    timer.classList.toggle("urgent", left <= 60);
    if (left === 0) {
      clearInterval(every);
      setTimeout(() => location.reload(), 1200);
    }
  };
  const every = setInterval(show, 250);
  show();
}
// One click is one request.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "1";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
// Copies a text. Where the browser has no clipboard for us, the text is selected, ready to be copied by hand.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    const said = button.parentElement.querySelector("[data-copied]");
    try {
      await navigator.clipboard.writeText(text.value);
      said.textContent = "Copied.";
    } catch {
      text.focus();
      text.select();
      said.textContent = "Selected: copy it now.";
    }
  });
}
