// Which class a viewer shows: its list of the best ones, and <picasso-class-picker>, which finds any of all.

import { Combobox } from "./combobox.js";
import { written } from "./numbers.js";
import { make } from "./stage.js";
import { view } from "./view.js";

class PicassoClassPicker extends HTMLElement {
  #class = null; // the fields
  #minus = null;
  #entries = null;
  #onView = () => this.#show();

  connectedCallback() {
    if (!this.#class) this.#build();
    view.addEventListener("change", this.#onView);
    this.#show();
  }

  disconnectedCallback() {
    view.removeEventListener("change", this.#onView);
  }

  get #group() {
    return this.getAttribute("group");
  }

  #field(name) {
    return this.#group === null ? name : `${name}.${this.#group}`;
  }

  #build() {
    const maps = [...(this.closest(".viewer") ?? document).querySelectorAll("picasso-map[scores]")];
    this.map = maps.find((map) => map.getAttribute("group") === this.#group) ?? maps[0];
    const open = () => (this.#entries ??= this.#load());
    const field = (title, placeholder, name) =>
      new Combobox({ title, placeholder, open, choose: (value) => view.set({ [this.#field(name)]: value }) });
    this.#class = field("Class", this.getAttribute("placeholder") ?? "Find a class", "class");
    this.#minus = field("Minus the map of", "none", "minus");
    const sign = make("span", "minus");
    sign.textContent = "minus";
    this.append(this.#class.root, sign, this.#minus.root);
  }

  // All classes, those with the highest scores first.
  async #load() {
    const [windows, labels] = await Promise.all([this.map.windows(), this.map.labels()]);
    const entries = Array.from(windows.base, (score, value) => ({ value, text: labels?.[value] ?? `class ${value}`, score }));
    entries.sort((one, other) => other.score - one.score);
    return entries.map((entry) => ({ ...entry, note: written(entry.score) }));
  }

  async #show() {
    for (const [field, name] of [[this.#class, "class"], [this.#minus, "minus"]]) {
      const chosen = view.get(this.#field(name));
      const listed = name === "class" && radios(this.closest(".viewer")).some((radio) => Number(radio.dataset.class) === chosen);
      if (chosen === null || listed) field.show("");
      else field.show((await this.map.labels())?.[chosen] ?? `class ${chosen}`);
    }
  }
}

function radios(viewer) {
  return [...(viewer?.querySelectorAll(".classes input[data-class]") ?? [])];
}

// The list follows the view: a class that is not in it is drawn in the place of the first one.
function follow() {
  for (const viewer of document.querySelectorAll(".viewer[data-group]")) {
    const chosen = view.get(`class.${viewer.dataset.group}`);
    const list = radios(viewer);
    const listed = chosen === null ? list[0] : list.find((radio) => Number(radio.dataset.class) === chosen);
    if (!list.length) continue;
    for (const radio of list) radio.checked = radio === listed;
    viewer.toggleAttribute("data-other", !listed);
  }
}

document.addEventListener("change", ({ target }) => {
  if (!target.matches(".viewer .classes input[data-class]")) return;
  const { group } = target.closest(".viewer").dataset;
  view.set({ [`class.${group}`]: Number(target.dataset.class), [`minus.${group}`]: null });
});

view.addEventListener("change", follow);
document.addEventListener("htmx:afterSettle", follow);
follow();

customElements.define("picasso-class-picker", PicassoClassPicker);
