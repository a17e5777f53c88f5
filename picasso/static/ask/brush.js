// Painting freehand, and erasing. With the keyboard the brush is moved, and paints while Space is pressed with an arrow.

export class Brush {
  hint = "Paint with mouse or finger. Arrow keys move the brush, Space puts it down or lifts it.";
  keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", " "];
  erases = false;
  #painting = false; // by keyboard

  constructor(region, size) {
    this.region = region;
    this.size = size;
    this.cursor = { x: region.width / 2, y: region.height / 2 };
  }

  get radius() {
    return this.size / 2;
  }

  begin() {
    this.#painting = false;
  }

  resize(size) {
    this.size = size;
  }

  down(point) {
    this.#stroke(point, point);
  }

  move(point) {
    this.#stroke(this.cursor, point);
  }

  hover(point) {
    this.cursor = point;
  }

  key(key, fine) {
    if (key === " ") {
      this.#painting = !this.#painting;
      if (this.#painting) this.#stroke(this.cursor, this.cursor);
      return;
    }
    const step = fine ? 1 : Math.max(1, this.radius / 2);
    const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[key];
    const { width, height } = this.region;
    const to = {
      x: Math.min(width, Math.max(0, this.cursor.x + dx)),
      y: Math.min(height, Math.max(0, this.cursor.y + dy)),
    };
    if (this.#painting) this.#stroke(this.cursor, to);
    this.cursor = to;
  }

  #stroke(from, to) {
    this.region.stroke(from, to, this.radius, this.erases ? 0 : 1);
    this.cursor = to;
  }

  get where() {
    const place = `${Math.round(this.cursor.x)} from the left, ${Math.round(this.cursor.y)} from the top`;
    return `${this.region.count} pixels painted. Brush ${this.#painting ? "down" : "up"}, ${place}`;
  }
}
