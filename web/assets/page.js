"use strict";
// The server sends the changed elements, made with the templates of the page. The element with the
// focus keeps it.
const trouble = (text) => {
  const p = document.getElementById("trouble");
  p.textContent = text;
  p.hidden = text === "";
};
const source = new EventSource(document.body.dataset.events);
let broken = false;
source.onmessage = (event) => {
  if (broken) {
    broken = false;
    trouble("");
  }
  const focus = document.activeElement && document.activeElement.id;
  for (const { id, html, more } of JSON.parse(event.data)) {
    const old = document.getElementById(id);
    if (!old) continue;
    // A row can only be parsed inside a table, which a template element allows.
    const made = document.createElement("template");
    made.innerHTML = html;
    if (!more) {
      old.replaceWith(made.content);
      continue;
    }
    old.append(made.content);
    while (old.childElementCount > Number(old.dataset.most)) old.firstElementChild.remove();
  }
  if (focus && document.activeElement === document.body) {
    const again = document.getElementById(focus);
    if (again) again.focus({ preventScroll: true });
  }
};
source.onerror = () => {
  broken = true;
  trouble("The page is not connected to erluv web: what is shown is old.");
};
