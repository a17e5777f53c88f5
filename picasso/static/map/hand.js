// The hand on a map: what pointer, fingers, wheel and keys do to the view.

import { view } from "./view.js";

const STEP = 1;
const LARGE_STEP = 10; // cells of the map
const ZOOM = 1.5;
const MOST_ZOOM = 16;
const CLICK = 5; // pixels that a click may move
export const WHOLE = { zoom: 1, x: 0.5, y: 0.5 }; // the whole picture
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Zooms so that `at` [x, y], 0..1 of the picture, stays where it is.
export function zoomAt(factor, at = [view.get("x"), view.get("y")]) {
  const before = view.get("zoom");
  const zoom = Math.min(Math.max(before * factor, 1), MOST_ZOOM);
  const keep = (middle, place) => place + ((middle - place) * before) / zoom;
  view.set({ zoom, ...middle(keep(view.get("x"), at[0]), keep(view.get("y"), at[1]), zoom) });
}

// The middle of what is shown, so that nothing beside the picture is.
function middle(x, y, zoom) {
  const half = 0.5 / zoom;
  const inside = (value) => Math.min(Math.max(value, half), 1 - half);
  return { x: inside(x), y: inside(y) };
}

export class Hand {
  #fingers = new Map(); // pointers that are down: id -> [x, y]
  #moved = 0;
  #element;
  #root;

  constructor(element, stage) {
    this.#element = element;
    this.stage = stage;
    this.#root = stage.root;
    const on = (type, listener, options) => this.#root.addEventListener(type, listener, options);
    on("pointermove", (event) => this.#move(event));
    on("pointerdown", (event) => this.#down(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#fingers.delete(event.pointerId));
    on("pointerleave", (event) => this.#leave(event));
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("keydown", (event) => this.#key(event));
    on("focus", () => this.#point({}));
  }

  #point(changes) {
    this.#element.touched();
    view.set(changes);
  }

  #down(event) {
    if (event.target.closest(".swipe")) return;
    this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
    this.#moved = 0;
    if (view.get("zoom") > 1) this.#root.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.#fingers.get(event.pointerId);
    const now = [event.clientX, event.clientY];
    if (before) {
      this.#moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
      if (this.#fingers.size === 2) this.#pinch(event.pointerId, before, now);
      else if (view.get("zoom") > 1 && this.#moved > CLICK) this.#pan(before, now);
      this.#fingers.set(event.pointerId, now);
      if (this.#fingers.size === 2 || view.get("zoom") > 1) return;
    }
    this.#point({ cursor: this.stage.inView(...now) });
  }

  #up(event) {
    if (!this.#fingers.delete(event.pointerId) || this.#moved > CLICK) return;
    const at = this.stage.inView(event.clientX, event.clientY);
    this.#point({ cursor: at, at });
  }

  #leave(event) {
    if (event.pointerType === "mouse") view.set({ cursor: null }); // what was clicked at stays
  }

  #pan(before, now) {
    const { width, height } = this.#root.getBoundingClientRect();
    const zoom = view.get("zoom");
    const [x, y] = [view.get("x") - (now[0] - before[0]) / width / zoom, view.get("y") - (now[1] - before[1]) / height / zoom];
    view.set(middle(x, y, zoom));
  }

  #pinch(id, before, now) {
    const [, other] = [...this.#fingers].find(([finger]) => finger !== id);
    const length = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    if (length(before)) zoomAt(length(now) / length(before), this.stage.inPicture((now[0] + other[0]) / 2, (now[1] + other[1]) / 2));
  }

  #wheel(event) {
    if (!event.ctrlKey) return; // the page scrolls
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 200), this.stage.inPicture(event.clientX, event.clientY));
  }

  #key(event) {
    if (event.target !== this.#root || event.ctrlKey || event.metaKey || event.altKey) return;
    if (ARROWS[event.key]) this.#step(ARROWS[event.key], event.shiftKey ? LARGE_STEP : STEP);
    else if (event.key === "+" || event.key === "=") zoomAt(ZOOM);
    else if (event.key === "-") zoomAt(1 / ZOOM);
    else if (event.key === "0") view.set(WHOLE);
    else if (event.key === "Escape") view.set({ cursor: null, at: null, ...WHOLE });
    else return;
    event.preventDefault();
  }

  // From cell to cell of the map; what is pointed at stays in sight.
  #step([across, down], cells) {
    const grid = this.#element.grid;
    if (!grid) return;
    const place = (value, size, by) => {
      const cell = Math.min(Math.max(Math.floor(value * size), 0), size - 1);
      return (Math.min(Math.max(cell + by, 0), size - 1) + 0.5) / size;
    };
    const from = view.get("cursor") ?? view.get("at");
    const [x, y] = from ?? [0.5, 0.5];
    const at = [place(x, grid.width, from ? across * cells : 0), place(y, grid.height, from ? down * cells : 0)];
    this.#point({ cursor: null, at, ...this.#insight(at) });
  }

  #insight(at) {
    const zoom = view.get("zoom");
    if (zoom === 1) return {};
    const [x, y] = this.stage.onPicture(at);
    const half = 0.45 / zoom;
    const near = (value, place) => Math.min(Math.max(value, place - half), place + half);
    return middle(near(view.get("x"), x), near(view.get("y"), y), zoom);
  }
}
