// What maps are made of, fetched and decoded once for all that show it.

import { parse } from "./npy.js";

const known = new Map(); // address -> WeakRef of the promise of what is there: those who show it hold it

// A promise of the array (.npy) at an address: {shape, data}.
export function loadArray(address) {
  return load(address, async (answer) => parse(await answer.arrayBuffer()));
}

// A promise of the JSON at an address.
export function loadJson(address) {
  return load(address, (answer) => answer.json());
}

function load(address, decode) {
  const before = known.get(address)?.deref();
  if (before) return before;
  const promise = fetched(address).then(decode);
  known.set(address, new WeakRef(promise));
  promise.catch(() => known.delete(address)); // asked again the next time
  return promise;
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`The values could not be loaded: ${answer.status} ${answer.statusText}.`);
  return answer;
}
