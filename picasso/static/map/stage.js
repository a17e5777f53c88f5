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
    this.canvas = make("canvas", "map", { width: 1, height: 1, "aria-hidden": "true" });
    this.place = make("div", "place"); // where the model's view lies on what is shown
    this.place.append(this.canvas);
    this.world = make("div", "world"); // what is zoomed
    this.marks = make("div", "place"); // over the same place
    this.world.append(this.picture, this.place, this.marks);
    this.root = make("div", "map-stage", { role: "application", "aria-roledescription": "map", tabindex: "0" });
    this.root.append(this.world);
  }

  // Shows a picture of `size` [width, height], on which the model's view has the place `box` [left, top, right, bottom].
  show(address, size, box) {
    if (this.picture.getAttribute("src") !== address) this.picture.src = address;
    const [left, top, right, bottom] = box ?? [0, 0, ...size];
    this.box = [left / size[0], top / size[1], (right - left) / size[0], (bottom - top) / size[1]];
    for (const [index, side] of ["left", "top", "width", "height"].entries()) {
      this.place.style[side] = this.marks.style[side] = `${this.box[index] * 100}%`;
    }
    this.root.style.setProperty("--ratio", size[0] / size[1]);
    this.root.classList.toggle("original", Boolean(box));
  }

  // Draws a grid; smoothed ones as fine as the screen shows them, and no coarser than they are.
  draw(grid, how, smooth) {
    const wanted = this.place.offsetWidth * devicePixelRatio;
    const times = Math.max(1, Math.min(wanted / grid.width, FINEST / Math.max(grid.width, grid.height)));
    const fine = smooth ? finer(grid, Math.round(grid.width * times), Math.round(grid.height * times)) : grid;
    if (this.canvas.width !== fine.width) this.canvas.width = fine.width;
    if (this.canvas.height !== fine.height) this.canvas.height = fine.height;
    this.canvas.getContext("2d").putImageData(painted(fine, how), 0, 0);
    this.canvas.classList.toggle("cells", !smooth);
    this.root.classList.add("drawn");
  }

  fade(opacity) {
    this.root.style.setProperty("--opacity", opacity / 100);
    this.root.classList.toggle("bare", opacity === 0);
  }

  // Enlarges the picture, with the point (x, y) of it in the middle.
  zoom(times, x, y) {
    this.root.style.setProperty("--zoom", times);
    this.root.classList.toggle("zoomed", times > 1);
    this.world.style.transform = times > 1 ? `translate(${50 - x * times * 100}%, ${50 - y * times * 100}%) scale(${times})` : "";
  }

  // Where a point of the screen lies on the picture, 0..1.
  inPicture(clientX, clientY) {
    return within(this.world, clientX, clientY);
  }

  // Where it lies on the model's view, 0..1; null beside it.
  inView(clientX, clientY) {
    const [x, y] = within(this.place, clientX, clientY);
    return x >= 0 && y >= 0 && x < 1 && y < 1 ? [x, y] : null;
  }

  // Where a point of the model's view lies on the picture.
  onPicture([x, y]) {
    const [left, top, width, height] = this.box;
    return [left + x * width, top + y * height];
  }
}

function within(element, clientX, clientY) {
  const { left, top, width, height } = element.getBoundingClientRect();
  return [(clientX - left) / width, (clientY - top) / height];
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
  show(ends, table, meanings) {
    this.bar.getContext("2d").putImageData(ramp(table), 0, 0);
    for (const [index, value] of ends.entries()) {
      const meaning = make("small");
      meaning.textContent = meanings[index] ?? "";
      this.ends[index].replaceChildren(written(value), ...(meanings[index] ? [" ", meaning] : []));
    }
  }
}
