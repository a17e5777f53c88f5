// <picasso-map>: a map of numbers over the picture that it explains. docs/your-own-visualization.md tells how to use it.

import { tables } from "./colours.js";
import { nextFrame } from "./frame.js";
import { Hand } from "./hand.js";
import { loadArray, loadJson } from "./loading.js";
import { quantile, written } from "./numbers.js";
import { Reading } from "./reading.js";
import { endsOf, extentOf, forget, join, leave, needsValues } from "./range.js";
import { Scale, Stage, make } from "./stage.js";
import { Swipe } from "./swipe.js";
import { view } from "./view.js";
import { Windows } from "./windows.js";

const HINT = "Point at the map, or focus it and press arrow keys, to read its values.";
const WITHOUT_PAINT = new Set(["opacity", "zoom", "x", "y", "at", "cursor", "swipe"]); // what changes no pixel of the map

// Maps near the part of the page that is seen are drawn; the others before they come into sight.
const NEAR = "1000px"; // more than a turn of the wheel, or a key that scrolls by a screen
const near = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => target.seen(isIntersecting)),
  { rootMargin: NEAR, scrollMargin: NEAR },
);

export class PicassoMap extends HTMLElement {
  static observedAttributes = [
    ...["src", "image", "label", "signed", "unit", "ends", "low", "high", "limit", "cells", "original", "box"],
    ...["scores", "target", "minus", "classes"],
  ];
  static active = null; // the map that the person is at

  grid = null; // {values, width, height} that is drawn
  #parts = null; // what it is built of
  #key = null; // where the grid comes from
  #extent = null; // of the grid
  #ends = ""; // the values that its colours end at
  #label = ""; // of the class that is drawn
  #difference = null; // of the maps of two classes: their labels
  #labels = null; // of all classes
  #windows = null; // a promise, once they are wanted
  #opened = null; // the windows themselves
  #near = false;
  #wanted = false; // somebody waits for `ready`
  #stale = true; // the map is to be painted, not only moved
  #news = new Set(); // what changed in the view since it was shown
  #ready = resolvers();
  #draw = () => this.#update();
  #onView = ({ detail }) => {
    for (const field of detail) {
      this.#news.add(field);
      this.#stale ||= !WITHOUT_PAINT.has(field);
    }
    nextFrame(this.#draw);
  };

  connectedCallback() {
    if (!this.#parts) this.#build();
    join(this);
    view.addEventListener("change", this.#onView);
    near.observe(this);
    nextFrame(this.#draw);
  }

  disconnectedCallback() {
    leave(this);
    view.removeEventListener("change", this.#onView);
    near.unobserve(this);
  }

  attributeChangedCallback(name) {
    if (!this.#parts) return;
    if (["scores", "corners"].includes(name)) this.#windows = this.#opened = null;
    this.#stale = true;
    forget();
  }

  // What range.js asks.
  get signed() {
    return this.hasAttribute("signed");
  }

  get sort() {
    return `${this.getAttribute("unit") ?? ""} ${this.signed}`;
  }

  // The values' lowest and highest; before they are there, what the page says of them.
  extent() {
    return this.#extent ?? this.#told();
  }

  // The numbers that are drawn, row by row.
  get values() {
    return this.grid?.values ?? null;
  }

  // The label of the class that is drawn, and of what is taken away from it.
  get label() {
    return this.#label;
  }

  // Fulfilled with the element when it has drawn its map.
  get ready() {
    this.#wanted = true;
    nextFrame(this.#draw);
    return this.#ready.promise;
  }

  // The scores with each window hidden, loaded when they are first asked for; null where there are none.
  windows() {
    if (!this.hasAttribute("scores")) return null;
    this.#windows ??= this.#openWindows();
    return this.#windows;
  }

  // The labels of all classes; null where there are none. (Classes then go by their number.)
  async labels() {
    const address = this.getAttribute("classes");
    if (address) this.#labels = await loadJson(address).catch(() => null);
    return this.#labels;
  }

  // What is seen of it, for a picture of that: `words` are the lines below the colours.
  shown() {
    const { stage, scale, about, reading } = this.#parts;
    const told = view.get("at") ? [reading.output.textContent] : [];
    const unit = this.getAttribute("unit");
    const what = [this.getAttribute("of"), unit && this.#difference ? `difference of ${unit}` : unit].filter(Boolean).join(" · ");
    return { stage, scale, words: [about.textContent, what, ...told].filter(Boolean) };
  }

  seen(isNear) {
    this.#near = isNear;
    if (isNear) nextFrame(this.#draw);
  }

  // The person is at it: what is needed to say more of it is fetched.
  touched() {
    if (PicassoMap.active !== this) {
      PicassoMap.active?.point();
      PicassoMap.active = this;
      this.point();
    }
    if (this.#opened || !this.hasAttribute("scores")) return;
    this.windows().catch((error) => this.#fail(error));
  }

  // Has it say again what is under the cursor.
  point() {
    this.#news.add("cursor");
    nextFrame(this.#draw);
  }

  #build() {
    const brought = this.querySelector(":scope > img.picture");
    const stage = new Stage(brought ?? make("img"));
    const [swipe, scale, reading] = [new Swipe(stage), new Scale(), new Reading(stage)];
    const about = make("p", "map-about");
    this.#parts = { stage, swipe, scale, reading, about };
    new Hand(this, stage);
    this.replaceChildren(stage.root, scale.root, about, reading.output);
    const alone = !document.querySelector("picasso-map-tools"); // one bar is for all maps of a page
    if (this.hasAttribute("controls") && alone) this.prepend(document.createElement("picasso-map-tools"));
  }

  #number(name) {
    return Number(this.getAttribute(name) ?? NaN);
  }

  #numbers(name) {
    const text = this.getAttribute(name);
    return text ? text.trim().split(/[\s,]+/).map(Number) : null;
  }

  #told() {
    const [low, high, limit] = ["low", "high", "limit"].map((name) => this.#number(name));
    if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
    return { low, high, limit: Number.isFinite(limit) ? limit : Math.max(high, -low), sizes: null };
  }

  async #openWindows() {
    const addresses = ["scores", "base", "corners"].map((name) => this.getAttribute(name));
    const size = this.#numbers("size") ?? (await this.#sizeOfPicture());
    const [windows] = await Promise.all([Windows.load(addresses, this.#numbers("window"), size), this.labels()]);
    this.#opened = windows;
    this.point();
    return windows;
  }

  async #sizeOfPicture() {
    const picture = new Image();
    picture.src = this.getAttribute("image");
    await picture.decode();
    return [picture.naturalWidth, picture.naturalHeight];
  }

  // The index of a class that an attribute names; null for none.
  #own(name) {
    return this.#numbers(name)?.[0] ?? null;
  }

  // The class that is looked at and the one that is taken away from it; null for none.
  #chosen() {
    const group = this.getAttribute("group");
    return ["class", "minus"].map((field) => view.chosen(field, group) ?? this.#own(field === "class" ? "target" : field));
  }

  // What is to be drawn: its `key`, and how to get it.
  #source() {
    const [target, minus] = this.#chosen();
    const src = this.getAttribute("src");
    if (this.hasAttribute("scores") && target !== null && (!src || target !== this.#own("target") || minus !== null)) {
      return { key: `${this.getAttribute("scores")} ${target} ${minus}`, grid: () => this.#made(target, minus) };
    }
    const coarse = view.get("smooth") === "off" && this.getAttribute("cells");
    const address = coarse || src;
    return address && { key: address, grid: () => this.#loaded(address) };
  }

  async #made(target, minus) {
    const windows = await this.windows();
    const name = (index) => this.#labels?.[index] ?? `class ${index}`;
    if (target >= windows.classes || minus >= windows.classes) throw new Error(`There is no class ${Math.max(target, minus)}.`);
    const difference = minus === null ? null : [name(target), name(minus)];
    const grid = windows.map(target, minus);
    return { grid, label: difference?.join(" − ") ?? name(target), difference, extent: extentOf(grid.values) };
  }

  async #loaded(address) {
    const { shape, data } = await loadArray(address);
    if (shape.length !== 2) throw new Error(`A map has two axes, height and width; this array has ${shape.length}.`);
    const grid = { values: Float32Array.from(data), width: shape[1], height: shape[0] };
    return { grid, label: this.getAttribute("label") ?? "", extent: extentOf(grid.values, this.#number("limit")) };
  }

  async #update() {
    if (!this.isConnected || !(this.#near || this.#wanted || needsValues(this))) return;
    const source = this.#source();
    if (!source) return;
    try {
      const colours = await tables;
      if (source.key !== this.#key && !(await this.#take(source))) return;
      if (this.grid) this.#show(colours);
    } catch (error) {
      this.#fail(error);
    }
  }

  // Loads what is to be drawn; false if something else is wanted by then.
  async #take(source) {
    this.#key = source.key;
    const { grid, label, difference = null, extent } = await source.grid();
    if (this.#key !== source.key) return false;
    this.grid = grid;
    this.#label = label;
    this.#difference = difference;
    this.#extent = extent;
    this.#stale = true;
    forget();
    return true;
  }

  #show(colours) {
    const { stage, swipe } = this.#parts;
    const ends = endsOf(this);
    this.#stale ||= this.#ends !== ends.join();
    const news = (...fields) => this.#stale || fields.some((field) => this.#news.has(field));
    if (news("opacity")) stage.fade(view.get("opacity"));
    if (news("zoom", "x", "y")) stage.zoom(view.get("zoom"), view.get("x"), view.get("y"));
    if (this.#stale) this.#paint(colours, ends);
    if (news("swipe", "zoom", "x", "y")) swipe.show();
    if (news("cursor", "at")) this.#point();
    this.#news.clear();
    if (!this.#stale) return;
    this.#stale = false;
    this.#ready.resolve(this);
    this.dispatchEvent(new CustomEvent("picasso-map-drawn", { bubbles: true }));
  }

  #paint(colours, ends) {
    const { stage, scale, about } = this.#parts;
    const kind = this.signed ? "signed" : "unsigned";
    const table = colours[kind][view.get(kind)] ?? Object.values(colours[kind])[0];
    this.#ends = ends.join();
    const original = view.get("picture") === "original" && this.getAttribute("original");
    const size = this.#numbers(original ? "original-size" : "size") ?? [this.grid.width, this.grid.height];
    stage.show(original || this.getAttribute("image"), size, original ? this.#numbers("box") : null);
    const share = 1 - view.get("strongest") / 100;
    const from = share > 0 ? quantile(this.#extent.sizes, share) : 0;
    stage.draw(this.grid, { low: ends[0], high: ends[1], table, middle: this.signed, from }, view.get("smooth") === "on");
    this.toggleAttribute("difference", Boolean(this.#difference)); // for what the page says beside it
    const [first, second] = this.#difference ?? [];
    const ownEnds = (this.getAttribute("ends") ?? "").split("|");
    scale.show(ends, table, first ? [`costs ${second} more`, `costs ${first} more`] : ownEnds);
    const of = this.getAttribute("of");
    stage.root.setAttribute("aria-label", `Map of ${this.#label}${of ? ` over ${of}` : ""}`);
    const name = make("b");
    name.textContent = this.#label;
    about.replaceChildren(name, ` from ${written(this.#extent.low)} to ${written(this.#extent.high)}`);
  }

  // What is under the cursor: in its cell of the array, as it is.
  #point() {
    const { reading } = this.#parts;
    const cursor = view.get("cursor") ?? view.get("at");
    if (!cursor) {
      reading.clear(HINT);
      return;
    }
    const { values, width, height } = this.grid;
    const [column, row] = [Math.floor(cursor[0] * width), Math.floor(cursor[1] * height)];
    const found = { row, column, value: values[row * width + column], label: this.#label, window: null, changes: [] };
    const windows = this.#opened;
    if (windows) {
      found.window = windows.at(Math.floor(cursor[1] * windows.size[1]), Math.floor(cursor[0] * windows.size[0]));
      const chosen = this.#chosen().filter((index) => index !== null);
      const changes = found.window ? windows.changes(found.window.position, chosen) : [];
      found.changes = changes.map((change) => ({ ...change, label: this.#labels?.[change.index] ?? `class ${change.index}` }));
    }
    reading.show(cursor, found, windows?.size ?? [width, height], PicassoMap.active === this);
  }

  #fail(error) {
    this.#parts.about.textContent = error.message;
    this.#ready.reject(error);
  }
}

// `Promise.withResolvers`, which browsers have since 2024; nobody has to wait for it.
function resolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  made.promise.catch(() => {});
  return made;
}

customElements.define("picasso-map", PicassoMap);
