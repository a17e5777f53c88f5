// The line between the picture, on its left, and the map over it, on its right.

import { make } from "./stage.js";
import { view } from "./view.js";

const STEPS = { ArrowLeft: -2, ArrowRight: 2, ArrowDown: -2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

export class Swipe {
  constructor(stage) {
    this.stage = stage;
    this.picture = make("img", "picture whole", { alt: "", hidden: "" }); // the left part of it is shown over the map
    stage.marks.before(this.picture);
    this.handle = make("div", "swipe", {
      role: "slider",
      tabindex: "0",
      "aria-label": "Where the picture ends and the map begins",
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      hidden: "",
    });
    stage.root.append(this.handle);
    this.handle.addEventListener("pointerdown", (event) => this.handle.setPointerCapture(event.pointerId));
    this.handle.addEventListener("pointermove", (event) => this.#drag(event));
    this.handle.addEventListener("keydown", (event) => this.#key(event));
  }

  show() {
    const at = view.get("swipe");
    this.picture.hidden = this.handle.hidden = at === null;
    if (at === null) return;
    const address = this.stage.picture.getAttribute("src");
    if (this.picture.getAttribute("src") !== address) this.picture.src = address;
    const across = view.get("x") + (at / 100 - 0.5) / view.get("zoom"); // on the picture, 0..1
    this.picture.style.clipPath = `inset(0 ${100 - across * 100}% 0 0)`;
    this.handle.style.left = `${at}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(at));
    this.handle.setAttribute("aria-valuetext", `${Math.round(at)} % of the width without the map`);
  }

  #drag(event) {
    event.stopPropagation(); // the map below is not meant
    if (!event.buttons) return;
    const { left, width } = this.stage.root.getBoundingClientRect();
    this.#move(((event.clientX - left) / width) * 100);
  }

  #key(event) {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    this.#move(view.get("swipe") + step);
  }

  #move(at) {
    view.set({ swipe: Math.min(Math.max(Math.round(at * 10) / 10, 0), 100) });
  }
}
