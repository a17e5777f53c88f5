// The page on which a model is asked by hand: a tool changes the region, the board shows it, the server is asked, the bars
// follow. The form's own fields say what is done with the region, and are what "Save as a run" sends.
import { Asker, load } from "./asker.js";
import { Bars, outcome } from "./bars.js";
import { Board } from "./board.js";
import { Brush } from "./brush.js";
import { Pieces } from "./pieces.js";
import { Region } from "./region.js";
import { Square } from "./square.js";

const REST = 700; // milliseconds without an answer after which the hand counts as resting
const TOLD = 250; // milliseconds after the last key until a screen reader is told where things are
const ONE_STROKE = 800; // key presses that follow sooner are undone together
const MOST_UNDO = 100;

class Page {
  #undo = [];
  #lastKey = 0;
  #resting = 0;
  #telling = 0;
  #asked = "";
  #drawing = false;
  #hand = null; // the pointer that is down

  constructor(form) {
    this.form = form;
    this.controls = document.forms.tools.elements; // tool, size, cut, erase
    const { width, height, best, risen, kind, size } = form.dataset;
    this.region = new Region(Number(width), Number(height));
    this.region.text = form.elements.region.value;
    this.tools = {
      square: new Square(this.region, this.region.rectangle?.width ?? Number(size)),
      brush: new Brush(this.region, Math.max(2, Math.round(Number(size) / 3))),
      pieces: new Pieces(this.region),
    };
    this.element = form.querySelector(".board");
    this.board = new Board(this.element, this.region.width, this.region.height);
    this.bars = new Bars(form.querySelector(".changes"), Number(best), Number(risen), kind);
    const failed = (sentence) => this.#say(".trouble", sentence);
    this.asker = new Asker(form.dataset.answer, (...heard) => this.#hear(...heard), failed);
    this.failed = failed;
    const painted = this.region.text && !this.region.rectangle;
    this.controls.tool.value = painted ? "brush" : "square";
    this.#listen();
    this.#choose();
    this.#fill();
  }

  get tool() {
    return this.tools[this.controls.tool.value];
  }

  get #keeps() {
    return this.form.elements.what.value === "keep";
  }

  #say(where, sentence) {
    const part = this.form.querySelector(where);
    if (part.textContent !== sentence) part.textContent = sentence;
  }

  // What is heard from the hand

  #listen() {
    const { element, form } = this;
    element.addEventListener("pointerdown", (event) => this.#down(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) element.addEventListener(name, () => (this.#hand = null));
    element.addEventListener("pointerleave", () => this.#hover(null));
    element.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("change", ({ target }) => {
      if (target.name === "tool") this.#choose();
      if (target.name === "fill") this.#fill();
      if (target.name === "what") this.#changed();
      if (target.name === "cut") this.#cut();
      if (target.name === "erase") this.tools.brush.erases = target.checked;
    });
    form.querySelector("[name=size]").addEventListener("input", ({ target }) => {
      if (this.tool === this.tools.square) this.#remember(false);
      this.tool.resize(Number(target.value));
      this.#changed();
    });
    form.querySelector(".undo").addEventListener("click", () => this.#back());
    form.querySelector(".clear").addEventListener("click", () => {
      this.#remember();
      this.region.clear();
      this.#changed();
    });
  }

  #down(event) {
    if (event.button || this.#hand !== null) return;
    this.#hand = event.pointerId;
    this.element.setPointerCapture(event.pointerId);
    this.#remember();
    this.tool.down(this.board.point(event));
    this.#changed();
  }

  #move(event) {
    const point = this.board.point(event);
    if (this.#hand === null) return this.#hover(point);
    if (event.pointerId !== this.#hand) return;
    if (this.over) this.over = point; // the outline of the brush goes along
    this.tool.move(point);
    this.#changed();
  }

  #hover(point) {
    this.over = point;
    if (point) this.tool.hover?.(point);
    if (this.tool === this.tools.brush) this.#draw();
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      return void this.#back();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || !this.tool.keys.includes(event.key)) return;
    event.preventDefault();
    this.#remember(false);
    this.over = null;
    this.byKey = true;
    this.tool.key(event.key, event.shiftKey);
    this.#changed();
    clearTimeout(this.#telling);
    this.#telling = setTimeout(() => this.#say(".where", this.tool.where), TOLD);
  }

  // Notes how the region is before it is changed; changes that follow each other quickly are one, unless `anew`.
  #remember(anew = true) {
    const now = performance.now();
    if (anew || now - this.#lastKey > ONE_STROKE) this.#undo.push(this.region.text);
    this.#lastKey = anew ? 0 : now;
    if (this.#undo.length > MOST_UNDO) this.#undo.shift();
  }

  #back() {
    if (!this.#undo.length) return;
    this.#lastKey = 0;
    this.region.text = this.#undo.pop();
    this.#changed();
  }

  // What follows from it

  #choose() {
    const { tool, form } = this;
    form.dataset.tool = this.controls.tool.value;
    const square = tool === this.tools.square;
    if (!this.region.empty && square !== Boolean(this.region.rectangle)) {
      this.#remember(); // a square does not go on from what was painted, nor the other way round
      if (!square) this.region.clear();
    }
    tool.begin();
    this.#say(".hint", tool.hint);
    if (tool.size) this.controls.size.value = tool.size;
    if (tool === this.tools.pieces) this.#cut();
    else this.board.showPieces(null);
    this.#changed();
  }

  async #cut() {
    this.board.showPieces(null);
    try {
      const response = await load(this.form.dataset.pieces, { count: this.controls.cut.value }, this.failed);
      this.tools.pieces.take(new Uint16Array(await response.arrayBuffer()));
    } catch (error) {
      return this.failed(error.message);
    }
    this.failed("");
    if (this.byKey) this.#say(".where", this.tool.where);
    if (this.tool === this.tools.pieces) this.board.showPieces(this.tools.pieces.numbers);
    this.#draw();
  }

  // Another fill: what hides is drawn anew, and the model asked again.
  async #fill() {
    this.#changed();
    const fill = this.form.elements.fill.value;
    try {
      const response = await load(this.form.dataset.pictures, { fill }, this.failed);
      if (fill === this.form.elements.fill.value) await this.board.take(await response.blob());
    } catch (error) {
      return this.failed(error.message);
    }
    this.#draw();
  }

  #changed() {
    const { form } = this;
    const text = this.region.text;
    form.elements.region.value = text;
    form.querySelector(".save").disabled = this.region.empty;
    form.querySelector(".undo").disabled = !this.#undo.length;
    this.controls.size.value = this.tool.size ?? this.controls.size.value;
    this.#say(".size output", `${this.controls.size.value} px`);
    this.#ask({ region: text, what: form.elements.what.value, fill: form.elements.fill.value });
    this.#draw();
  }

  #ask(question) {
    const asked = JSON.stringify(question);
    if (asked === this.#asked) return; // a brush that is only moved asks nothing
    this.#asked = asked;
    this.#wait(true);
    this.asker.ask(question);
  }

  // Whether the bars are of an earlier question than the last.
  #wait(waits) {
    this.form.querySelector(".changes").setAttribute("aria-busy", waits);
  }

  #draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      const at = this.over ?? (this.byKey && this.tool.cursor);
      const shown = this.tool.radius && at ? { ...at, radius: this.tool.radius } : null;
      this.board.draw(this.region, this.#keeps, shown);
    });
  }

  #hear(classes, question, last) {
    this.bars.show(classes);
    this.#wait(!last);
    clearTimeout(this.#resting);
    if (last) this.#resting = setTimeout(() => this.#rest(classes, question), REST);
  }

  // Says how it came out, and puts it into the address, so that it can be copied and come back to.
  #rest(classes, question) {
    this.#say(".outcome", this.region.empty ? "Nothing is hidden." : outcome(classes));
    const address = new URL(location);
    for (const [name, value] of Object.entries(question)) address.searchParams.set(name, value);
    const { model } = this.form.elements; // where there are several
    if (model) address.searchParams.set("model", model.value);
    history.replaceState(null, "", address);
  }
}

const form = document.querySelector("form.asking[data-width]");
if (form) new Page(form);
