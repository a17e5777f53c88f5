// The colour tables, as the server draws with them: 256 colours with their opacity for each name.

import { loadJson } from "./loading.js";

// {unsigned: {name: Uint8ClampedArray(1024)}, signed: {...}}: red, green, blue, opacity for each level.
export const tables = loadJson(document.querySelector("meta[name=map-colours]").content).then((kinds) =>
  Object.fromEntries(Object.entries(kinds).map(([kind, named]) => [kind, decoded(named)])),
);

tables.catch(() => {}); // whoever needs them says so

function decoded(named) {
  const bytes = (text) => Uint8ClampedArray.from(atob(text), (letter) => letter.charCodeAt(0));
  return Object.fromEntries(Object.entries(named).map(([name, text]) => [name, bytes(text)]));
}
