// How the maps of this page are looked at: one state for all of them. What differs from the defaults is kept in the
// address's fragment, so that a copied link opens the same view.

const among = (...choices) => (text) => (choices.includes(text) ? text : undefined);
const between = (low, high) => (text) => (text !== "" && text >= low && text <= high ? Number(text) : undefined);
const number = between(-Infinity, Infinity);
const name = (text) => (/^[a-z]+$/.test(text) ? text : undefined);

// Each by its name in the address: its default, and how it is read; what cannot be read counts as not said.
const FIELDS = {
  opacity: [100, between(0, 100)], // per cent
  unsigned: ["inferno", name], // the colours of maps without sign
  signed: ["coolwarm", name],
  range: ["automatic", among("automatic", "symmetric", "percentile", "fixed")],
  low: [0, number], // the ends of a fixed range
  high: [1, number],
  scale: ["shared", among("shared", "own")], // one range for all maps of a unit, or each its own
  strongest: [100, between(0, 100)], // per cent of the pixels that are shown
  smooth: ["on", among("on", "off")],
  picture: ["seen", among("seen", "original")],
  swipe: [null, between(0, 100)], // where the picture ends and the map begins, per cent of the width; null: everywhere
  zoom: [1, between(1, 16)],
  x: [0.5, between(0, 1)], // what lies in the middle, when zoomed
  y: [0.5, between(0, 1)],
  at: [null, point], // [x, y] that the cursor was set to, 0..1 of the model's view
  cursor: [null, () => undefined], // where it is while it moves: in no address
};
// Classes are chosen for all maps ("class") or for those of a group ("class.0"); "minus" is the class that is taken away.
const CLASS = /^(class|minus)(\.[\w-]+)?$/;
const WRITE_AFTER = 250; // milliseconds of rest; browsers allow few changes of the address in a second

function point(text) {
  const [x, y, more] = String(text).split(",").map(between(0, 1));
  return x !== undefined && y !== undefined && more === undefined ? [x, y] : undefined;
}

class View extends EventTarget {
  #state = {};
  #base = {}; // what the page itself asks for, in its query: written into no fragment
  #timer = 0;

  constructor() {
    super();
    const query = new URLSearchParams(location.search);
    if (query.get("range") === "own") this.#base.scale = "own";
    for (const colours of ["unsigned", "signed"]) {
      if (query.has(colours)) this.#base[colours] = FIELDS[colours][1](query.get(colours)) ?? FIELDS[colours][0];
    }
    this.#state = read(location.hash);
    addEventListener("hashchange", () => this.#follow());
  }

  // What is chosen; `null` for a class that is not.
  get(field) {
    return this.#state[field] ?? this.#base[field] ?? FIELDS[field]?.[0] ?? null;
  }

  // The class chosen for a group of maps: its index, or null. `field`: "class" or "minus".
  chosen(field, group) {
    return this.get(group === null ? field : `${field}.${group}`);
  }

  // Changes some of it. All maps hear of it ("change", whose `detail` is a set of names) if anything is new.
  set(changes) {
    const changed = new Set();
    for (const [field, value] of Object.entries(changes)) {
      if (same(this.get(field), value)) continue;
      this.#state[field] = value;
      changed.add(field);
    }
    if (!changed.size) return;
    this.dispatchEvent(new CustomEvent("change", { detail: changed }));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.write(), WRITE_AFTER);
  }

  // The fragment that opens this view, without "#"; empty where nothing was changed.
  get fragment() {
    const parts = Object.entries(this.#state).filter(([field, value]) => field !== "cursor" && !same(value, this.#plain(field)));
    return parts.map(([field, value]) => `${field}=${short(value ?? "")}`).sort().join("&");
  }

  // Puts it into the address now.
  write() {
    clearTimeout(this.#timer);
    const { fragment } = this;
    if (fragment === location.hash.slice(1)) return;
    history.replaceState(history.state, "", location.pathname + location.search + (fragment && `#${fragment}`));
  }

  #plain(field) {
    return this.#base[field] ?? FIELDS[field]?.[0] ?? null;
  }

  // The address was changed by hand, or by going back. A fragment that is a place on the page changes nothing.
  #follow() {
    const state = read(location.hash);
    if (location.hash.length > 1 && !Object.keys(state).length) return;
    const changes = Object.fromEntries(Object.keys(this.#state).map((field) => [field, this.#plain(field)]));
    this.set({ ...changes, ...state });
  }
}

function read(hash) {
  const state = {};
  for (const [field, text] of new URLSearchParams(hash.slice(1))) {
    const reader = Object.hasOwn(FIELDS, field) ? FIELDS[field][1] : CLASS.test(field) ? between(0, 1e9) : null;
    const value = reader?.(text);
    if (value !== undefined && value !== null) state[field] = value;
  }
  return state;
}

// Six digits: less than a pixel of a large picture.
function short(value) {
  if (Array.isArray(value)) return value.map(short).join(",");
  return typeof value === "number" ? Number(value.toPrecision(6)) : value;
}

function same(one, other) {
  return one === other || (Array.isArray(one) && Array.isArray(other) && one.join() === other.join());
}

export const view = new View();
