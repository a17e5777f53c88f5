// Numbers to pixels, by a colour table of 256 levels. A level is found as the server finds it.

const LEVELS = 256;

// Values between those of a grid {values, width, height}, on a finer one: bilinear, where a value lies in the middle of
// its cell. Neighbours that are the same all along are one cell: so many pixels of an occlusion map have one value. A
// place that has no value stays without.
export function finer(grid, width, height) {
  const values = new Float32Array(width * height);
  const across = places(middles(grid.width, (column) => same(grid, column, 1, grid.width, grid.height)), grid.width, width);
  const down = places(middles(grid.height, (row) => same(grid, row * grid.width, grid.width, 1, grid.width)), grid.height, height);
  for (let row = 0, index = 0; row < height; row++) {
    const [above, below, share] = [down.first[row] * grid.width, down.second[row] * grid.width, down.share[row]];
    for (let column = 0; column < width; column++, index++) {
      const [left, right, part] = [across.first[column], across.second[column], across.share[column]];
      const nearest = grid.values[(share < 0.5 ? above : below) + (part < 0.5 ? left : right)];
      const top = grid.values[above + left] * (1 - part) + grid.values[above + right] * part;
      const bottom = grid.values[below + left] * (1 - part) + grid.values[below + right] * part;
      const value = top * (1 - share) + bottom * share;
      values[index] = Number.isNaN(value) ? nearest : Number.isNaN(nearest) ? NaN : value;
    }
  }
  return { values, width, height };
}

// Whether a row or column that begins at `start` has the values of the one before: `count` of them, `step` apart.
function same({ values }, start, back, step, count) {
  for (let index = 0, place = start; index < count; index++, place += step) {
    if (!Object.is(values[place], values[place - back])) return false;
  }
  return true;
}

// The middles of the cells along one axis; `joined` says whether a row or column belongs to the cell of the one before.
function middles(size, joined) {
  const found = [];
  for (let start = 0, end = 1; start < size; start = end, end++) {
    while (end < size && joined(end)) end++;
    found.push((start + end) / 2);
  }
  return found;
}

// For each of `fine` places along an axis of that size: the pixels of the two middles around it, and its way between.
function places(centres, size, fine) {
  const first = new Int32Array(fine);
  const second = new Int32Array(fine);
  const share = new Float32Array(fine);
  for (let index = 0, next = 0; index < fine; index++) {
    const place = ((index + 0.5) * size) / fine;
    while (next < centres.length && centres[next] <= place) next++;
    const [before, after] = [centres[Math.max(next - 1, 0)], centres[Math.min(next, centres.length - 1)]];
    first[index] = Math.floor(before);
    second[index] = Math.floor(after);
    share[index] = after > before ? (place - before) / (after - before) : 0;
  }
  return { first, second, share };
}

// The picture of a grid. `middle`: whether zero lies in the middle of the colours; `from`: sizes below it are left out.
export function painted(grid, { low, high, table, middle, from = 0 }) {
  const picture = new ImageData(grid.width, grid.height);
  const pixels = new Uint32Array(picture.data.buffer);
  const colours = new Uint32Array(table.buffer);
  const scale = high > low ? (LEVELS - 1) / (high - low) : 0;
  const start = high > low ? 0.5 - low * scale : middle ? LEVELS / 2 : 0;
  const { values } = grid;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (!Number.isFinite(value) || Math.abs(value) < from) continue; // transparent
    const level = value * scale + start;
    pixels[index] = colours[level < 0 ? 0 : level >= LEVELS ? LEVELS - 1 : level | 0];
  }
  return picture;
}

// The colours from low to high, one pixel high.
export function ramp(table) {
  return new ImageData(new Uint8ClampedArray(table), LEVELS, 1);
}
