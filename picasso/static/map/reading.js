// What is under the cursor, in words: beside the cursor for the eye, below the map for everyone.

import { written } from "./numbers.js";
import { make } from "./stage.js";

const MARGIN = 14; // pixels between the cursor and its tip

export class Reading {
  constructor(stage) {
    this.stage = stage;
    this.mark = make("div", "mark", { hidden: "" });
    this.window = make("div", "window", { hidden: "" });
    this.tip = make("div", "tip", { hidden: "", "aria-hidden": "true" });
    this.output = make("output", "map-reading", { "aria-live": "off" });
    stage.marks.append(this.window, this.mark);
    stage.root.append(this.tip);
  }

  clear(hint) {
    this.mark.hidden = this.window.hidden = this.tip.hidden = true;
    this.output.replaceChildren(part("hint", hint));
  }

  // `cursor` [x, y], 0..1 of the view; `found`: {row, column, value, label, window, changes}; `spoken`: this is the map
  // that the person is at, so that the tip is here and a screen reader says what is found.
  show(cursor, found, size, spoken) {
    this.mark.hidden = false;
    this.mark.style.left = `${cursor[0] * 100}%`;
    this.mark.style.top = `${cursor[1] * 100}%`;
    this.#outline(found.window, size);
    const lines = found.changes.map(({ label, before, after }) => [label, written(before), `→ ${written(after)}`]);
    this.output.setAttribute("aria-live", spoken ? "polite" : "off");
    this.output.replaceChildren(
      part("where", `Row ${found.row}, column ${found.column}: `),
      part("what", written(found.value)),
      part("more", lines.length ? `. With this window hidden: ${lines.map((line) => line.join(" ")).join(", ")}` : ""),
    );
    this.tip.hidden = !spoken;
    if (spoken) this.#tell(found, lines);
  }

  #outline(window, [width, height]) {
    this.window.hidden = !window;
    if (!window) return;
    const { style } = this.window;
    style.left = `${(window.left / width) * 100}%`;
    style.top = `${(window.top / height) * 100}%`;
    style.width = `${(window.width / width) * 100}%`;
    style.height = `${(window.height / height) * 100}%`;
  }

  #tell(found, lines) {
    const title = make("b");
    title.textContent = `${found.label} ${written(found.value)}`.trim();
    const table = make("table");
    for (const line of lines) {
      const row = table.insertRow();
      for (const text of line) row.insertCell().textContent = text;
    }
    this.tip.replaceChildren(title, ...(lines.length ? [part("", "With this window hidden"), table] : []));
    this.#settle();
  }

  // Beside what it is about, or below or above it where no side has room; inside the stage.
  #settle() {
    const stage = this.stage.root.getBoundingClientRect();
    const about = (this.window.hidden ? this.mark : this.window).getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const right = about.right - stage.left + MARGIN;
    const left = about.left - stage.left - MARGIN - width;
    const beside = right + width <= stage.width ? right : left;
    const below = about.bottom - stage.top + MARGIN;
    const above = about.top - stage.top - MARGIN - height;
    const top = beside >= 0 ? about.top - stage.top : below + height <= stage.height ? below : above;
    this.tip.style.left = `${Math.max(0, Math.min(beside, stage.width - width))}px`;
    this.tip.style.top = `${Math.max(0, Math.min(top, stage.height - height))}px`;
  }
}

function part(name, text) {
  const span = make("span", name);
  span.textContent = text;
  return span;
}
