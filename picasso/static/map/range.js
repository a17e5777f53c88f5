// The values at the ends of a map's colours: its own, or those that all maps of the page with its unit and sign share.

import { nextFrame } from "./frame.js";
import { view } from "./view.js";
import { extremes, quantile, sortedSizes } from "./numbers.js";

const PERCENTILE = 0.995;
const maps = new Set(); // the maps of the page: each has `sort` ("unit, signed or not") and `extent()`, null if not known yet
const shared = new Map(); // sort -> ends, as long as nothing changes

export function join(map) {
  maps.add(map);
  forget();
}

export function leave(map) {
  maps.delete(map);
  forget();
}

// Something about a map is new: the others may have other ends by that.
export function forget() {
  shared.clear();
  nextFrame(announce);
}

function announce() {
  view.dispatchEvent(new CustomEvent("change", { detail: new Set() }));
}

view.addEventListener("change", () => shared.clear());

// What the ends are found from. `limit`: the value at the end of the colours, where another than the largest is wanted.
export function extentOf(values, limit = NaN) {
  const [low, high] = extremes(values);
  let sizes = null; // sorted only when they are asked for
  return {
    low,
    high,
    limit: Number.isFinite(limit) ? limit : Math.max(high, -low),
    get sizes() {
      return (sizes ??= sortedSizes(values));
    },
  };
}

// Whether a map's values have to be there, also when it is out of sight, because others depend on them.
export function needsValues(map) {
  return view.get("scale") === "shared" && (map.extent() === null || view.get("range") === "percentile");
}

// [low, high] for a map; null while nothing is known.
export function endsOf(map) {
  if (view.get("range") === "fixed") return [view.get("low"), view.get("high")].sort((one, other) => one - other);
  if (view.get("scale") === "own") return joined([map.extent()], map.signed);
  if (!shared.has(map.sort)) {
    const alike = [...maps].filter((other) => other.sort === map.sort);
    shared.set(map.sort, joined(alike.map((other) => other.extent()), map.signed));
  }
  return shared.get(map.sort);
}

function joined(extents, signed) {
  const known = extents.filter((extent) => extent);
  if (!known.length) return null;
  const range = view.get("range");
  const bright = (extent) => (extent.sizes ? quantile(extent.sizes, PERCENTILE) : extent.limit);
  const largest = (extent) => Math.max(extent.high, -extent.low);
  const end = Math.max(...known.map(range === "percentile" ? bright : range === "symmetric" ? largest : (one) => one.limit));
  return signed || range === "symmetric" ? [-end, end] : [Math.min(0, ...known.map((extent) => extent.low)), end];
}
