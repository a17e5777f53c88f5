// A part of the picture: a byte for each pixel of the model's input, row by row, and the text that it travels as, which
// picasso/attribution/regions.py reads: "left,top,width,height", or run lengths in base 36 of what was painted.

const RECTANGLE = /^-?\d+,-?\d+,\d+,\d+$/;

export class Region {
  #rectangle = null; // {left, top, width, height} as long as it is one

  constructor(width, height) {
    Object.assign(this, { width, height });
    this.mask = new Uint8Array(width * height);
  }

  get rectangle() {
    return this.#rectangle;
  }

  get text() {
    const { left, top, width, height } = this.#rectangle ?? {};
    return this.#rectangle ? `${left},${top},${width},${height}` : this.#runs();
  }

  set text(text) {
    if (RECTANGLE.test(text)) {
      this.place(...text.split(",").map(Number));
      return;
    }
    this.clear();
    let at = 0;
    let inside = 0;
    for (const run of text ? text.split(".") : []) {
      const end = at + parseInt(run, 36);
      if (inside) this.mask.fill(1, at, end);
      inside = 1 - inside;
      at = end;
    }
  }

  #runs() {
    const runs = [];
    let start = 0;
    let inside = 0;
    for (let at = 0; at < this.mask.length; at++) {
      if (this.mask[at] === inside) continue;
      runs.push((at - start).toString(36));
      start = at;
      inside = this.mask[at];
    }
    if (inside) runs.push((this.mask.length - start).toString(36));
    return runs.join(".");
  }

  get empty() {
    return !this.mask.includes(1);
  }

  get count() {
    return this.mask.reduce((sum, pixel) => sum + pixel, 0);
  }

  clear() {
    this.#rectangle = null;
    this.mask.fill(0);
  }

  // The rectangle and nothing else; what overhangs is left out.
  place(left, top, width, height) {
    this.clear();
    this.#rectangle = { left, top, width, height };
    const [from, to] = [Math.max(0, left), Math.min(this.width, left + width)];
    for (let y = Math.max(0, top); y < Math.min(this.height, top + height); y++) {
      if (to > from) this.mask.fill(1, y * this.width + from, y * this.width + to);
    }
  }

  // A stroke of a round brush from one point to another, in pixels; `value` 0 erases.
  stroke(from, to, radius, value) {
    this.#rectangle = null;
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const length = dx * dx + dy * dy || 1;
    const [top, bottom] = [Math.min(from.y, to.y) - radius, Math.max(from.y, to.y) + radius];
    const [left, right] = [Math.min(from.x, to.x) - radius, Math.max(from.x, to.x) + radius];
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(this.height, bottom + 1); y++) {
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(this.width, right + 1); x++) {
        const [px, py] = [x + 0.5 - from.x, y + 0.5 - from.y]; // of the pixel's middle
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        if (Math.hypot(px - along * dx, py - along * dy) <= radius) this.mask[y * this.width + x] = value;
      }
    }
  }

  // All pixels of a piece. `pieces` has the number of each pixel's piece.
  fill(pieces, number, value) {
    this.#rectangle = null;
    for (let at = 0; at < pieces.length; at++) if (pieces[at] === number) this.mask[at] = value;
  }
}
