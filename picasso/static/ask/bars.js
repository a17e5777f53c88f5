// The best classes before and now. The rows stay where they are while the hand moves; only bars and numbers change.
import { written as number } from "../map/numbers.js";

const SVG = "http://www.w3.org/2000/svg";
const TICK = 0.7; // width of the mark where a bar was before, of 100

export class Bars {
  #rows;

  // `best` rows for the best classes of the whole picture, then `risen` for those that came up.
  constructor(list, best, risen, kind) {
    Object.assign(this, { best, kind });
    this.#rows = Array.from({ length: best + risen }, () => new Row());
    // A narrow page shows the first rows of both only.
    this.#rows.forEach(({ element }, at) => element.classList.toggle("few", at < best ? at >= 3 : at >= best + 2));
    list.replaceChildren(...this.#rows.map((row) => row.element));
  }

  show(classes) {
    const scores = classes.flatMap(({ before, after }) => [before, after]);
    // Probabilities fill the row at 1; raw scores from the lowest that is shown to the highest.
    const [low, high] = this.kind === "probability" ? [0, 1] : [Math.min(0, ...scores), Math.max(...scores)];
    const few = this.kind === "probability"; // three digits behind the point are enough while the hand moves
    const share = (score) => (high > low ? Math.min(1, Math.max(0, (score - low) / (high - low))) : 0);
    const first = winner(classes);
    this.#rows.forEach((row, at) => row.show(classes[at], share, few, classes[at] === first));
  }
}

class Row {
  constructor() {
    this.element = document.createElement("li");
    const drawing = make("svg", { class: "share", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
    this.now = make("rect", { class: "now", height: 1, width: 0 });
    this.before = make("rect", { class: "before", height: 1, width: 0 });
    drawing.append(this.now, this.before);
    [this.label, this.was, this.is] = ["label", "was", "value"].map((name) => {
      const part = document.createElement("span");
      part.className = name;
      return part;
    });
    this.label.textContent = "\u00a0"; // the row has its height before it has a class
    this.element.append(drawing, this.label, this.was, this.is);
  }

  show(one, share, few, first) {
    this.element.classList.toggle("none", !one);
    this.element.classList.toggle("first", first);
    if (!one) return;
    this.label.textContent = one.label;
    this.was.textContent = `${score(one.before, few)} →`;
    this.is.textContent = score(one.after, few);
    this.now.setAttribute("width", 100 * share(one.after));
    this.before.setAttribute("width", TICK);
    this.before.setAttribute("x", (100 - TICK) * share(one.before));
    const change = share(one.after) - share(one.before);
    this.element.classList.toggle("fallen", change < -0.005);
    this.element.classList.toggle("risen", change > 0.005);
  }
}

function make(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function winner(classes) {
  return classes.reduce((best, one) => (one.after > (best?.after ?? -Infinity) ? one : best), undefined);
}

function score(value, few) {
  return few && value < 0.001 ? "<.001" : number(value);
}

// What became of it, for a screen reader and as a summary: "espresso from .90 to .12. Now first: cup, .41."
export function outcome(classes) {
  if (!classes.length) return "";
  const [first] = classes;
  const now = winner(classes);
  const change = `${first.label} from ${number(first.before)} to ${number(first.after)}.`;
  return now === first ? `${change} It stays first.` : `${change} Now first: ${now.label}, ${number(now.after)}.`;
}
