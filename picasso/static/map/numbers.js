// Numbers: how people write them, as the server's templates do, and what is asked of many of them.

// Three significant digits: ".899", "−.031", "12.4", "2.1e−6".
export function written(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  return (value < 0 ? "−" : "") + size(Math.abs(value));
}

function size(value) {
  if (value < 0.001 || value >= 100_000) return value.toExponential(1).replace("+", "").replace("-", "−");
  if (value < 1) return value.toFixed(3).replace(/^0/, "");
  return value < 1000 ? String(Number(value.toPrecision(3))) : Math.round(value).toLocaleString("en-US");
}

// The lowest and highest of the values that are numbers; [0, 0] where none is.
export function extremes(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 0];
}

// The sizes of the values that are numbers, smallest first.
export function sortedSizes(values) {
  return Float32Array.from(values, Math.abs).filter((value) => !Number.isNaN(value)).sort();
}

// The value below which that share of the sorted values lies, linear between two of them as in NumPy.
export function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted.length ? sorted[below] + (place - below) * (sorted[above] - sorted[below]) : 0;
}
