// A field in which one finds one of very many by typing, by the pattern of the ARIA Authoring Practices: arrows go
// through the list, Enter takes, Escape closes.

import { make } from "./stage.js";

const MOST = 100; // that are listed at once
let count = 0;

export class Combobox {
  #options = []; // those listed: their entries
  #at = -1; // the one that Enter takes
  #searching = null; // the last search, until its entries are there

  // `open` gives (a promise of) the entries [{value, text, note}], the most likely first; `choose` is called with the
  // value of the one taken, or null when the field is emptied.
  constructor({ title, placeholder, open, choose }) {
    Object.assign(this, { open, choose });
    const id = `combobox-${++count}`;
    this.list = make("ul", "options", { role: "listbox", id, "aria-label": title, hidden: "" });
    this.input = make("input", "", {
      type: "text",
      role: "combobox",
      autocomplete: "off",
      "aria-autocomplete": "list",
      "aria-controls": id,
      "aria-expanded": "false",
      "aria-label": title,
      placeholder,
    });
    this.root = make("div", "combobox");
    this.root.append(this.input, this.list);
    this.input.addEventListener("input", () => this.#search());
    this.input.addEventListener("click", () => this.#search(""));
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("blur", () => this.#close());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.list.addEventListener("click", (event) => this.#take([...this.list.children].indexOf(event.target.closest("li"))));
  }

  // The text of what is chosen.
  show(text) {
    this.text = text;
    if (this.list.hidden && !this.#searching) this.input.value = text;
  }

  async #search(text = this.input.value) {
    const search = (this.#searching = {});
    const entries = await this.open().catch((error) => error);
    if (search !== this.#searching) return; // more was typed, or it was closed
    this.#searching = null;
    if (document.activeElement !== this.input) return;
    this.#options = entries instanceof Error ? [] : matching(entries, text).slice(0, MOST);
    this.#at = text && this.#options.length ? 0 : -1;
    this.list.replaceChildren(...this.#options.map((entry, index) => this.#option(entry, index)));
    if (!this.#options.length) this.list.append(line(entries.message ?? `Nothing is called “${text}”.`));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #option({ text, note }, index) {
    const option = make("li", "", { role: "option", id: `${this.list.id}-${index}`, "aria-selected": "false" });
    const [label, value] = [make("span", "label"), make("span", "value")];
    label.textContent = text;
    value.textContent = note;
    option.append(label, value);
    return option;
  }

  #mark() {
    for (const [index, option] of [...this.list.children].entries()) option.setAttribute("aria-selected", index === this.#at);
    const marked = this.#options[this.#at] && this.list.children[this.#at];
    if (marked) this.input.setAttribute("aria-activedescendant", marked.id);
    else this.input.removeAttribute("aria-activedescendant");
    if (marked) this.list.scrollTop += Math.min(0, marked.offsetTop - this.list.scrollTop);
    if (marked) this.list.scrollTop = Math.max(this.list.scrollTop, marked.offsetTop + marked.offsetHeight - this.list.clientHeight);
  }

  async #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (this.list.hidden) await this.#search("");
      const { length } = this.#options;
      this.#at = length ? (Math.max(this.#at, step > 0 ? -1 : 0) + step + length) % length : -1;
      this.#mark();
    } else if (event.key === "Enter" && !this.list.hidden) {
      event.preventDefault();
      if (this.input.value === "") this.#choose(null, "");
      else this.#take(this.#at);
    } else if (event.key === "Escape") {
      this.#close();
    }
  }

  #take(index) {
    const entry = this.#options[index];
    if (entry) this.#choose(entry.value, entry.text);
  }

  #choose(value, text) {
    this.text = text;
    this.#close();
    this.input.select(); // what is typed next is another search
    this.choose(value);
  }

  #close() {
    const emptied = !this.list.hidden && this.input.value === "" && this.text;
    this.#searching = null;
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    if (emptied) this.choose(null);
    else this.input.value = this.text ?? "";
  }
}

// Those with all words of the text; first those that begin with it.
function matching(entries, text) {
  const wanted = text.trim().toLowerCase();
  const words = wanted.split(/\s+/);
  const found = entries.filter((entry) => words.every((word) => entry.text.toLowerCase().includes(word)));
  const begins = (entry) => entry.text.toLowerCase().startsWith(wanted);
  return [...found.filter(begins), ...found.filter((entry) => !begins(entry))];
}

function line(text) {
  const made = make("li", "small", { role: "option", "aria-disabled": "true", "aria-selected": "false" });
  made.textContent = text;
  return made;
}
