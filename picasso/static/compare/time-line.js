// A training, checkpoint by checkpoint: play, pause, scrub. The step is part of the view, and so of the address.

import { view } from "../map/view.js";
import { follow } from "./parts.js";

const PACE = 700; // milliseconds that each checkpoint is shown

const root = document.querySelector(".time-line");
const steps = root.dataset.steps.split(" ").map(Number);
const scrub = root.querySelector(".scrub");
const play = root.querySelector(".play");
const last = steps.length - 1;
let timer = 0;

// The checkpoint that is shown: the one that was chosen, else the newest that has maps, so that one sees them come.
function index() {
  const found = steps.indexOf(view.get("step"));
  if (found >= 0) return found;
  const there = [...root.querySelectorAll(".state-of:has(picasso-map)")].map((state) => Number(state.dataset.at));
  return there.length ? Math.max(...there) : last;
}

function show() {
  const at = index();
  scrub.value = at;
  scrub.setAttribute("aria-valuetext", `step ${steps[at]}`);
  root.querySelector(".step").textContent = `step ${steps[at]}`;
  for (const state of root.querySelectorAll(".state-of")) state.classList.toggle("current", Number(state.dataset.at) === at);
  for (const curve of root.querySelectorAll(".curve")) mark(curve, at);
}

// Moves the line that marks the step, and writes the scores there.
function mark(curve, at) {
  const line = curve.querySelector("line.now");
  const x = line.dataset.places.split(" ")[at];
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  for (const score of curve.querySelectorAll("b.now")) score.textContent = score.dataset.scores.split("|")[at];
}

function go(at) {
  view.set({ step: at === last ? null : steps[at] });
}

function stop() {
  clearInterval(timer);
  timer = 0;
  dress();
}

function dress() {
  play.classList.toggle("playing", Boolean(timer));
  play.querySelector(".word").textContent = timer ? "Pause" : "Play";
}

play.addEventListener("click", () => {
  if (timer) return stop();
  go(index() === last ? 0 : index() + 1);
  timer = setInterval(() => {
    if (index() < last) go(index() + 1);
    if (index() === last) stop();
  }, PACE);
  dress();
});
scrub.addEventListener("input", () => {
  if (timer) stop();
  go(Number(scrub.value));
});
view.addEventListener("change", (event) => event.detail.has("step") && show());

root.classList.add("stacked");
show();
follow(root, show);
