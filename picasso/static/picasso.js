// Conveniences over pages that work without them: dropping and pasting pictures, copying the link.

function send(form, files) {
  const input = form.querySelector("input[type=file]");
  const pictures = [...files].filter((file) => file.size || file.name);
  if (!pictures.length || !fits(form, pictures)) return;
  const transfer = new DataTransfer();
  for (const file of pictures) transfer.items.add(file);
  input.files = transfer.files;
  form.classList.add("busy");
  form.requestSubmit();
}

// Says at once what the server would say after minutes of sending.
function fits(form, files) {
  const bytes = [...files].reduce((sum, file) => sum + file.size, 0);
  form.parentElement.querySelector(".too-much")?.remove();
  if (bytes <= Number(form.dataset.limit)) return true;
  const notice = document.createElement("p");
  notice.className = "notice error too-much";
  notice.setAttribute("role", "alert");
  notice.textContent = form.dataset.tooMuch;
  form.after(notice);
  return false;
}

for (const form of document.querySelectorAll("form.drop")) {
  const input = form.querySelector("input[type=file]");
  input.addEventListener("change", () => {
    if (!input.files.length) return;
    if (!fits(form, input.files)) {
      input.value = "";
      return;
    }
    form.classList.add("busy");
    form.requestSubmit();
  });
  form.addEventListener("dragover", (event) => {
    event.preventDefault();
    form.classList.add("over");
  });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", (event) => {
    event.preventDefault();
    form.classList.remove("over");
    send(form, event.dataTransfer.files);
  });
}

document.addEventListener("paste", (event) => {
  const form = document.querySelector("form.drop");
  if (form && event.clipboardData?.files.length) send(form, event.clipboardData.files);
});

// Pages that the browser keeps for "back" must not come back half-submitted.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form.drop.busy")) form.classList.remove("busy");
});

// A setting that does not matter with what else is chosen is put away, and not sent; one that is wrong stays.
function tidy(form) {
  const chosen = new FormData(form);
  for (const field of form.querySelectorAll("[data-only]:not(.wrong)")) {
    const others = Object.entries(JSON.parse(field.dataset.only));
    const used = others.every(([name, choices]) => choices.map(String).includes(chosen.getAll(name).at(-1)));
    field.classList.toggle("unused", !used);
    for (const control of field.querySelectorAll("input, select")) control.disabled = !used;
  }
}

for (const form of document.querySelectorAll("form.settings")) {
  form.addEventListener("change", () => tidy(form));
  tidy(form);
}

// A page that is about to be another one asks for no more news: what is cut off would count as an error.
let leaving = false;
window.addEventListener("pageshow", () => (leaving = false));
document.addEventListener("submit", (event) => (leaving ||= !event.defaultPrevented));
document.addEventListener("htmx:beforeOnLoad", ({ detail }) => (leaving ||= detail.xhr.getResponseHeader("HX-Refresh") === "true"));
document.addEventListener("htmx:beforeRequest", (event) => leaving && event.preventDefault());

document.addEventListener("change", (event) => {
  if (event.target.id === "chosen-model") event.target.form.requestSubmit();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) return;
  const text = button.dataset.copy ?? location.href;
  if (!navigator.clipboard) return void prompt("Copy this:", text); // only https and this machine have it
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
});

// What a word means is shown by the stylesheet; here it is kept inside the window, and put away with Escape.
const WIDEST = 300;

function place({ target }) {
  const term = target.closest?.(".term");
  const room = term && document.documentElement.clientWidth - term.getBoundingClientRect().left - WIDEST;
  if (term) term.style.setProperty("--shift", `${Math.min(0, room)}px`);
}

for (const event of ["pointerover", "focusin"]) document.addEventListener(event, place);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const term of document.querySelectorAll(".term:is(:hover, :focus)")) term.classList.add("told");
});
for (const event of ["pointerout", "focusout"]) {
  document.addEventListener(event, ({ target }) => target.closest?.(".term")?.classList.remove("told"));
}
