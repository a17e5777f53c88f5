// The picture as the model sees it now, pixel by pixel, and over it what was chosen: its outline, pieces, the brush.

const WANTED = 1000; // pixels that the drawing of lines has across, so that they are sharp

export class Board {
  #seen;
  #marks;
  #pictures = null; // {seen, fill}: RGBA of the picture, and of what hides its parts
  #pieces = null; // a canvas with the pieces' borders

  constructor(element, width, height) {
    Object.assign(this, { element, width, height });
    element.style.setProperty("--ratio", width / height);
    this.scale = Math.max(1, Math.round(WANTED / Math.max(width, height)));
    [this.#seen, this.#marks] = ["seen", "marks"].map((name) => element.querySelector(`canvas.${name}`));
    this.#seen.width = width;
    this.#seen.height = height;
    this.#marks.width = width * this.scale;
    this.#marks.height = height * this.scale;
  }

  // A file with the picture and, right of it, what hides its parts.
  async take(blob) {
    const both = await createImageBitmap(blob);
    const canvas = new OffscreenCanvas(both.width, both.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(both, 0, 0);
    this.#pictures = [0, this.width].map((left) => context.getImageData(left, 0, this.width, this.height));
    this.element.classList.add("ready");
  }

  // Where an event is, in pixels of the model's input.
  point(event) {
    const box = this.#marks.getBoundingClientRect();
    const across = (event.clientX - box.left) / box.width;
    const down = (event.clientY - box.top) / box.height;
    return { x: across * this.width, y: down * this.height };
  }

  // `cursor`: {x, y, radius} of the brush, or where the keyboard is; null for none.
  draw(region, keep, cursor) {
    if (this.#pictures) this.#drawPicture(region.mask, keep ? 1 : 0);
    const context = this.#marks.getContext("2d");
    context.clearRect(0, 0, this.#marks.width, this.#marks.height);
    if (this.#pieces) context.drawImage(this.#pieces, 0, 0);
    context.setTransform(this.scale, 0, 0, this.scale, 0, 0);
    twice(context, this.#outline(region.mask), this.scale);
    if (cursor) {
      const circle = new Path2D();
      circle.arc(cursor.x, cursor.y, Math.max(cursor.radius, 1), 0, 2 * Math.PI);
      twice(context, circle, this.scale);
    }
    context.resetTransform();
  }

  #drawPicture(mask, shown) {
    const [seen, fill] = this.#pictures.map((picture) => new Uint32Array(picture.data.buffer));
    const now = new ImageData(this.width, this.height);
    const pixels = new Uint32Array(now.data.buffer);
    for (let at = 0; at < pixels.length; at++) pixels[at] = mask[at] === shown ? seen[at] : fill[at];
    this.#seen.getContext("2d").putImageData(now, 0, 0);
  }

  // The lines between pixels whose values differ, and along the border where these are not 0.
  #outline(values) {
    const { width, height } = this;
    const path = new Path2D();
    const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : values[y * width + x]);
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x < width; x++) {
        const start = x;
        while (x < width && at(x, y) !== at(x, y - 1)) x++;
        if (x > start) path.moveTo(start, y), path.lineTo(x, y);
      }
    }
    for (let x = 0; x <= width; x++) {
      for (let y = 0; y < height; y++) {
        const start = y;
        while (y < height && at(x, y) !== at(x - 1, y)) y++;
        if (y > start) path.moveTo(x, start), path.lineTo(x, y);
      }
    }
    return path;
  }

  // Draws the borders of pieces under everything else; none with null.
  showPieces(pieces) {
    this.#pieces = pieces && new OffscreenCanvas(this.#marks.width, this.#marks.height);
    if (!pieces) return;
    const context = this.#pieces.getContext("2d");
    context.scale(this.scale, this.scale);
    context.strokeStyle = "#fff8";
    context.lineWidth = 1 / this.scale;
    context.stroke(this.#outline(pieces));
  }
}

// Light on dark, so that it is seen on any picture.
function twice(context, path, scale) {
  for (const [colour, width] of [["#000b", 5], ["#fff", 2.4]]) {
    context.strokeStyle = colour;
    context.lineWidth = width / scale;
    context.stroke(path);
  }
}
