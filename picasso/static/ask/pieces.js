// Picking superpixels: pieces of about one colour that the server has found in the picture.

export class Pieces {
  hint = "Click pieces, or drag over them. Arrow keys go from piece to piece, Space picks one.";
  keys = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", " ", "Enter"];
  radius = 3; // of the mark where the keyboard is
  numbers = null; // of each pixel's piece, once they are there
  #picks = 1; // whether a drag picks or drops

  constructor(region) {
    this.region = region;
    this.cursor = { x: region.width / 2, y: region.height / 2 };
  }

  begin() {}

  // Takes the numbers of another cut.
  take(numbers) {
    this.numbers = numbers;
    this.amount = numbers.reduce((most, number) => Math.max(most, number + 1), 0);
  }

  #at({ x, y }) {
    const { width, height } = this.region;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    return column < 0 || row < 0 || column >= width || row >= height ? -1 : this.numbers[row * width + column];
  }

  // Whether all of a piece is in the region.
  #picked(number) {
    return this.numbers.every((other, at) => other !== number || this.region.mask[at]);
  }

  down(point) {
    const number = this.numbers ? this.#at(point) : -1;
    if (number < 0) return;
    this.cursor = point;
    this.#picks = this.#picked(number) ? 0 : 1;
    this.region.fill(this.numbers, number, this.#picks);
  }

  move(point) {
    const number = this.numbers ? this.#at(point) : -1;
    if (number >= 0 && number !== this.#at(this.cursor)) this.region.fill(this.numbers, number, this.#picks);
    if (number >= 0) this.cursor = point;
  }

  key(key) {
    if (!this.numbers) return;
    if (key === " " || key === "Enter") return this.down(this.cursor);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    const before = this.#at(this.cursor);
    for (let { x, y } = this.cursor; this.#at({ x, y }) >= 0; x += dx, y += dy) {
      if (this.#at({ x, y }) !== before) return void (this.cursor = this.#middle(this.#at({ x, y }), { x, y }));
    }
  }

  // The mean place of a piece's pixels, or where it was entered, if that lies in another piece.
  #middle(number, entered) {
    let [x, y, count] = [0, 0, 0];
    this.numbers.forEach((other, at) => {
      if (other !== number) return;
      x += at % this.region.width;
      y += Math.floor(at / this.region.width);
      count += 1;
    });
    const middle = { x: x / count + 0.5, y: y / count + 0.5 };
    return this.#at(middle) === number ? middle : entered;
  }

  get where() {
    if (!this.numbers) return "Pieces are being cut";
    const number = this.#at(this.cursor);
    return `Piece ${number + 1} of ${this.amount}, ${this.#picked(number) ? "picked" : "not picked"}`;
  }
}
