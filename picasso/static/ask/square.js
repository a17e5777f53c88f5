// The square that is dragged over the picture. Its size may be anything up to the picture's.

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Square {
  hint = "Drag it, or move it with the arrow keys, with Shift by one pixel. + and − change its size.";
  radius = 0;
  #grip = null; // where in the square the hand has it

  constructor(region, size) {
    this.region = region;
    this.size = size;
  }

  // Where it is. A rectangle out of a link keeps its shape until the size is changed.
  get #box() {
    const { region } = this;
    const [width, height] = [Math.min(this.size, region.width), Math.min(this.size, region.height)];
    return region.rectangle ?? this.last ?? { left: (region.width - width) >> 1, top: (region.height - height) >> 1, width, height };
  }

  begin() {
    if (!this.region.rectangle) this.#move(this.#box.left, this.#box.top);
  }

  resize(size) {
    const { left, top, width, height } = this.#box;
    this.size = clamp(size, 1, Math.max(this.region.width, this.region.height));
    const [across, down] = [Math.min(this.size, this.region.width), Math.min(this.size, this.region.height)];
    this.last = { left, top, width: across, height: down };
    this.region.clear();
    this.#move(left + (width - across) / 2, top + (height - down) / 2);
  }

  down(point) {
    const { left, top, width, height } = this.#box;
    const inside = point.x >= left && point.x < left + width && point.y >= top && point.y < top + height;
    this.#grip = inside ? { x: point.x - left, y: point.y - top } : { x: width / 2, y: height / 2 };
    this.move(point);
  }

  move(point) {
    this.#move(point.x - this.#grip.x, point.y - this.#grip.y);
  }

  key(key, fine) {
    if (key === "+" || key === "-") return this.resize(this.size + (key === "+" ? 1 : -1) * (fine ? 1 : 4));
    const step = fine ? 1 : Math.max(1, Math.round(this.region.width / 56));
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    this.#move(this.#box.left + dx * step, this.#box.top + dy * step);
  }

  keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "-"];

  #move(left, top) {
    const { width, height } = this.#box;
    const inside = (value, most) => clamp(Math.round(value), 0, Math.max(0, most));
    this.last = {
      left: inside(left, this.region.width - width),
      top: inside(top, this.region.height - height),
      width,
      height,
    };
    this.region.place(this.last.left, this.last.top, width, height);
  }

  get where() {
    const { left, top, width, height } = this.#box;
    return `${width} by ${height} pixels, ${left} from the left, ${top} from the top`;
  }
}
