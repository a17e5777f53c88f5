// What is to be drawn is drawn once before the next picture of the screen, however often it was asked for.

const waiting = new Set();

export function nextFrame(task) {
  if (!waiting.size) requestAnimationFrame(run);
  waiting.add(task);
}

function run() {
  const tasks = [...waiting];
  waiting.clear();
  for (const task of tasks) task();
}
