// <picasso-map>: a map of numbers over the picture that it explains. docs/visualizations.md tells how to use it.

import { tables } from "./colours.js";
import { nextFrame } from "./frame.js";
import { load } from "./npy.js";
import { written } from "./numbers.js";
import { endsOf, extentOf, forget, join, leave, needsValues } from "./range.js";
import { Scale, Stage, make } from "./stage.js";
import { view } from "./view.js";

// Maps near the part of the page that is seen are drawn; the others when they come near.
const near = new IntersectionObserver(
  (entries) => entries.forEach(({ target, isIntersecting }) => target.seen(isIntersecting)),
  { rootMargin: "200px" },
);

export class PicassoMap extends HTMLElement {
  static observedAttributes = [
    "src", "image", "label", "signed", "unit", "ends", "low", "high", "limit", "cells", "original", "box", "original-size",
  ];
  #stage = null;
  #scale = null;
  #grid = null; // {values, width, height} that is drawn
  #key = null; // where it comes from
  #extent = null;
  #near = false;
  #wanted = false; // somebody waits for `ready`
  #ready = Promise.withResolvers ? Promise.withResolvers() : resolvers();
  #onView = () => nextFrame(this.#draw);
  #draw = () => this.#update();

  connectedCallback() {
    if (!this.#stage) this.#build();
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

  attributeChangedCallback() {
    if (!this.#stage) return;
    this.#extent = null;
    forget();
    nextFrame(this.#draw);
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
    return (this.#extent ??= this.#told());
  }

  // The numbers that are drawn, row by row.
  get values() {
    return this.#grid?.values ?? null;
  }

  // Fulfilled with the element when it has drawn its map.
  get ready() {
    this.#wanted = true;
    nextFrame(this.#draw);
    return this.#ready.promise;
  }

  seen(isNear) {
    this.#near = isNear;
    if (isNear) nextFrame(this.#draw);
  }

  #build() {
    const brought = this.querySelector(":scope > img.picture");
    this.#stage = new Stage(brought ?? make("img"));
    this.#scale = new Scale();
    this.about = make("p", "map-about");
    this.replaceChildren(this.#stage.root, this.#scale.root, this.about);
  }

  #numbers(name) {
    return (this.getAttribute(name) ?? "").split(/[\s,]+/).filter(Boolean).map(Number);
  }

  #told() {
    const [low, high, limit] = ["low", "high", "limit"].map((name) => Number(this.getAttribute(name) ?? NaN));
    if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
    return { low, high, limit: Number.isFinite(limit) ? limit : Math.max(high, -low), sizes: null };
  }

  #source() {
    const coarse = view.get("smooth") === "off" && this.getAttribute("cells");
    return coarse || this.getAttribute("src");
  }

  async #load(address) {
    const { shape, data } = await load(address);
    if (shape.length !== 2) throw new Error(`A map has two axes, height and width; this array has ${shape.length}.`);
    return { values: Float32Array.from(data), width: shape[1], height: shape[0] };
  }

  async #update() {
    if (!this.isConnected) return;
    const needed = this.#near || this.#wanted || needsValues(this);
    const address = this.#source();
    if (!needed || !address) return;
    if (address !== this.#key) {
      this.#key = address;
      try {
        const grid = await this.#load(address);
        if (this.#key !== address) return; // something else is wanted by now
        this.#grid = grid;
        this.#extent = extentOf(grid.values, Number(this.getAttribute("limit") ?? NaN));
        forget();
      } catch (error) {
        this.#fail(error);
        return;
      }
    }
    if (this.#grid) this.#paint(await tables);
  }

  #paint(colours) {
    const ends = endsOf(this);
    const kind = this.signed ? "signed" : "unsigned";
    const table = colours[kind][view.get(kind)] ?? Object.values(colours[kind])[0];
    const { width, height } = this.#grid;
    const seen = this.getAttribute("image");
    this.#stage.show(seen, [this.#stage.picture.naturalWidth || width, this.#stage.picture.naturalHeight || height], null);
    this.#stage.root.style.setProperty("--opacity", view.get("opacity") / 100);
    this.#stage.draw(this.#grid, { low: ends[0], high: ends[1], table, middle: this.signed }, view.get("smooth") === "on");
    this.#scale.show(ends, table, (this.getAttribute("ends") ?? "").split("|"));
    const label = this.getAttribute("label") ?? "";
    this.#stage.root.setAttribute("aria-label", `Map of ${label}`);
    this.about.textContent = `${label}: from ${written(this.#extent.low)} to ${written(this.#extent.high)}`;
    this.#ready.resolve(this);
    this.dispatchEvent(new CustomEvent("picasso-map-drawn", { bubbles: true }));
  }

  #fail(error) {
    this.about.textContent = error.message;
    this.#ready.reject(error);
  }
}

function resolvers() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

customElements.define("picasso-map", PicassoMap);
