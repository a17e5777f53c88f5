// Occlusion: the scores of all classes with one window hidden at a time, and the maps that are made of them.

import { loadArray } from "./loading.js";

const SHOWN = 3; // classes that a window changed most

export class Windows {
  // `scores` {shape: [positions, classes], data}; `base` {data} of the un-occluded picture; `corners` {data}: row and
  // column of each window's top-left pixel; `window` [height, width]; `size` [width, height] of the model's view.
  constructor(scores, base, corners, window, size) {
    [this.positions, this.classes] = scores.shape;
    this.scores = scores.data;
    this.base = base.data;
    this.corners = corners.data;
    [this.height, this.width] = window;
    this.size = size;
  }

  static async load(addresses, window, size) {
    return new Windows(...(await Promise.all(addresses.map(loadArray))), window, size);
  }

  // How much the score of a class drops at each position; float32, as the server computes it.
  drops(target) {
    return Float32Array.from({ length: this.positions }, (_, position) => {
      return this.base[target] - this.scores[position * this.classes + target];
    });
  }

  // The map of a class, or of one less another: each pixel has the mean over the windows that cover it, NaN under none.
  map(target, minus = null) {
    const values = Float64Array.from(this.drops(target));
    if (minus !== null) this.drops(minus).forEach((drop, position) => (values[position] -= drop));
    return this.#average(values);
  }

  // A window adds its value at its top-left and bottom-right corners and takes it away at the two others: running sums
  // along rows and columns then fill it.
  #average(values) {
    const [width, height] = this.size;
    const [total, count] = [new Float64Array((width + 1) * (height + 1)), new Float64Array((width + 1) * (height + 1))];
    const add = (row, column, value, sign) => {
      total[row * (width + 1) + column] += sign * value;
      count[row * (width + 1) + column] += sign;
    };
    for (let position = 0; position < this.positions; position++) {
      const [top, left] = this.#corner(position);
      const value = values[position];
      add(top, left, value, 1);
      add(top + this.height, left + this.width, value, 1);
      add(top, left + this.width, value, -1);
      add(top + this.height, left, value, -1);
    }
    for (const grid of [total, count]) sumUp(grid, width + 1, height + 1);
    const map = new Float32Array(width * height);
    for (let row = 0, index = 0; row < height; row++) {
      for (let column = 0; column < width; column++, index++) {
        const place = row * (width + 1) + column;
        map[index] = count[place] > 0.5 ? total[place] / count[place] : NaN;
      }
    }
    return { values: map, width, height };
  }

  #corner(position) {
    return [Number(this.corners[2 * position]), Number(this.corners[2 * position + 1])];
  }

  // The window over a pixel, of several the one whose middle is nearest: {position, top, left, height, width}, or null.
  at(row, column) {
    let found = null;
    let nearest = Infinity;
    for (let position = 0; position < this.positions; position++) {
      const [top, left] = this.#corner(position);
      const [down, across] = [row - top, column - left];
      if (down < 0 || across < 0 || down >= this.height || across >= this.width) continue;
      const distance = (down + 0.5 - this.height / 2) ** 2 + (across + 0.5 - this.width / 2) ** 2;
      if (distance >= nearest) continue;
      nearest = distance;
      found = { position, top, left, height: this.height, width: this.width };
    }
    return found;
  }

  // What a hidden window did to scores: [{index, before, after}], the `chosen` classes first, then those that changed
  // most.
  changes(position, chosen, shown = SHOWN) {
    const of = (index) => {
      const [before, after] = [this.base[index], this.scores[position * this.classes + index]];
      return { index, before, after, change: Math.abs(after - before) };
    };
    const most = [];
    const places = Math.max(shown - chosen.length, 1);
    for (let index = 0; index < this.classes; index++) {
      const one = of(index);
      if (chosen.includes(index) || (most.length === places && one.change <= most[places - 1].change)) continue;
      most.push(one);
      most.sort((one, other) => other.change - one.change);
      most.length = Math.min(most.length, places);
    }
    return [...chosen.map(of), ...most];
  }
}

function sumUp(grid, width, height) {
  for (let index = width; index < width * height; index++) grid[index] += grid[index - width];
  for (let row = 0; row < height; row++) {
    for (let index = row * width + 1; index < (row + 1) * width; index++) grid[index] += grid[index - 1];
  }
}
