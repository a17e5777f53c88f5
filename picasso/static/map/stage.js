// What is seen of a map: the picture, the map on a canvas over it, and the bar of its colours below.

import { finer, painted, ramp } from "./paint.js";
import { written } from "./numbers.js";

const FINEST = 1024; // pixels along the longer side of a smoothed map

export function make(tag, className = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

export class Stage {
  constructor(picture) {
    this.picture = picture; // the <img> that the page may have brought along
    this.picture.className = "picture";
    this.picture.alt = "";
    this.canvas = make("canvas", "map", { "aria-hidden": "true" });
    this.place = make("div", "place"); // where the model's view lies on what is shown
    this.place.append(this.canvas);
    this.world = make("div", "world");
    this.world.append(this.picture, this.place);
    this.root = make("div", "map-stage", { role: "application", "aria-roledescription": "map", tabindex: "0" });
    this.root.append(this.world);
  }

  // Shows a picture of `size` [width, height], on which the view has the place `box` [left, top, right, bottom].
  show(address, size, box) {
    if (this.picture.getAttribute("src") !== address) this.picture.src = address;
    this.root.style.setProperty("--ratio", size[0] / size[1]);
    const [left, top, right, bottom] = box ?? [0, 0, ...size];
    this.box = [left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]]; // left, top, width, height
    for (const [index, side] of ["left", "top", "width", "height"].entries()) {
      this.place.style[side] = `${this.box[index] * 100}%`;
    }
    this.root.classList.toggle("whole", !box);
  }

  // Draws a grid; smoothed ones as fine as the screen shows them.
  draw(grid, how, smooth) {
    const wanted = this.canvas.getBoundingClientRect().width * devicePixelRatio;
    const most = FINEST / Math.max(grid.width, grid.height);
    const times = smooth ? Math.min(Math.max(wanted / grid.width, 1), Math.max(most, 1)) : 1;
    const fine = times > 1 ? finer(grid, Math.round(grid.width * times), Math.round(grid.height * times)) : grid;
    this.canvas.width = fine.width;
    this.canvas.height = fine.height;
    this.canvas.getContext("2d").putImageData(painted(fine, how), 0, 0);
    this.canvas.classList.toggle("cells", !smooth);
  }
}

// The colours with the values at their ends, always written out.
export class Scale {
  constructor() {
    this.root = make("div", "map-scale");
    this.bar = make("canvas", "ramp", { width: 256, height: 1, "aria-hidden": "true" });
    this.ends = [make("span"), make("span")];
    this.root.append(this.ends[0], this.bar, this.ends[1]);
  }

  // `meanings`: what the two ends stand for.
  show([low, high], table, meanings) {
    this.bar.getContext("2d").putImageData(ramp(table), 0, 0);
    for (const [index, value] of [low, high].entries()) {
      this.ends[index].textContent = written(value);
      if (!meanings[index]) continue;
      const meaning = make("small");
      meaning.textContent = meanings[index];
      this.ends[index].append(" ", meaning);
    }
  }
}
