// What is seen of a map, as a picture with its colours and numbers; and its numbers, as NumPy reads them.

import { view } from "./view.js";

const WIDTH = 1024; // of the picture, in pixels
const PADDING = 24;
const LINE = 30;
const PALE = 0.35; // of the colour of the picture below a map, as in map.css
const FONT = "20px system-ui, sans-serif";

// Saves a PNG: the picture with the map as they are shown, the bar of colours, and what it is.
export async function savePicture(map) {
  await map.ready;
  const { stage, scale, words } = map.shown();
  const height = Math.round((WIDTH * stage.root.offsetHeight) / stage.root.offsetWidth);
  const canvas = new OffscreenCanvas(WIDTH, height + words.length * LINE + 2 * PADDING + LINE);
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  await stage.picture.decode();
  context.save();
  context.beginPath();
  context.rect(0, 0, WIDTH, height);
  context.clip();
  drawStage(context, stage, WIDTH, height);
  context.restore();
  drawScale(context, scale, height + PADDING);
  context.font = FONT;
  context.fillStyle = "#1d1b18";
  for (const [index, line] of words.entries()) context.fillText(line, PADDING, height + PADDING + (index + 1.9) * LINE, WIDTH - 2 * PADDING);
  offer(await canvas.convertToBlob({ type: "image/png" }), `${fileName(map)}.png`);
}

// Saves the values that are drawn as .npy: little-endian float32 (height, width).
export async function saveMap(map) {
  await map.ready;
  offer(new Blob([encoded(map.grid)]), `${fileName(map)}.npy`);
}

function drawStage(context, stage, width, height) {
  const [zoom, x, y] = ["zoom", "x", "y"].map((field) => view.get(field));
  const opacity = view.get("opacity") / 100;
  context.translate((0.5 - x * zoom) * width, (0.5 - y * zoom) * height);
  context.scale(zoom, zoom);
  context.imageSmoothingEnabled = stage.root.classList.contains("original");
  context.drawImage(pale(stage.picture, opacity ? PALE : 1), 0, 0, width, height);
  const [left, top, across, down] = stage.box;
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = !stage.canvas.classList.contains("cells");
  context.drawImage(stage.canvas, left * width, top * height, across * width, down * height);
  context.globalAlpha = 1;
  if (view.get("swipe") === null) return;
  const line = (x + (view.get("swipe") / 100 - 0.5) / zoom) * width;
  context.beginPath();
  context.rect(0, 0, line, height);
  context.clip();
  context.imageSmoothingEnabled = stage.root.classList.contains("original");
  context.drawImage(stage.picture, 0, 0, width, height);
}

// The picture with so much of its colour left. (The filter of a canvas is not in every browser.)
function pale(picture, saturation) {
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = pixels;
  for (let index = 0; index < data.length; index += 4) {
    const grey = 0.213 * data[index] + 0.715 * data[index + 1] + 0.072 * data[index + 2];
    for (let channel = index; channel < index + 3; channel++) data[channel] = grey + (data[channel] - grey) * saturation;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function drawScale(context, scale, top) {
  const [low, high] = scale.ends.map((end) => end.textContent);
  context.font = FONT;
  context.fillStyle = "#1d1b18";
  context.fillText(low, PADDING, top + 18);
  context.fillText(high, WIDTH - PADDING - context.measureText(high).width, top + 18);
  const left = 2 * PADDING + context.measureText(low).width;
  const width = WIDTH - left - 2 * PADDING - context.measureText(high).width;
  context.fillStyle = "#8a8a8a";
  context.fillRect(left, top, width, 20);
  context.imageSmoothingEnabled = false;
  context.drawImage(scale.bar, left, top, width, 20);
}

function encoded({ values, width, height }) {
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${height}, ${width}), }`;
  const length = Math.ceil((10 + header.length + 1) / 64) * 64 - 10;
  const bytes = new Uint8Array(10 + length + 4 * values.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0x93, ...Array.from("NUMPY", (letter) => letter.charCodeAt(0)), 1, 0]);
  view.setUint16(8, length, true);
  bytes.set(Array.from(`${header.padEnd(length - 1)}\n`, (letter) => letter.charCodeAt(0)), 10);
  values.forEach((value, index) => view.setFloat32(10 + length + 4 * index, value, true));
  return bytes;
}

function fileName(map) {
  const parts = [map.getAttribute("of")?.replace(/\.\w+$/, ""), map.label].filter(Boolean);
  return parts.join(" ").replace(/[^\p{L}\p{N} −-]/gu, "").trim() || "map";
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
