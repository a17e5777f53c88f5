// While a run goes on, its page is replaced by newer ones, and in the end by the result. Idiomorph changes only what
// differs; what stands in maps and their tools, and what is chosen beside them, is the person's and stays.

import { view } from "./view.js";

if (globalThis.Idiomorph) {
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (before, after) => {
    if (!before.matches?.("picasso-map, picasso-map-tools, picasso-class-picker, .viewer input, noscript")) return true;
    if (before.localName === "picasso-map") adopt(before, after);
    return false;
  };
  // What comes without a page around it has its <noscript> taken for content, and its pictures would be loaded.
  Idiomorph.defaults.callbacks.beforeNodeAdded = (node) => {
    if (node.localName === "noscript") return false;
    for (const part of node.querySelectorAll?.("noscript") ?? []) part.remove();
    return true;
  };
}

// A map's new attributes say where its newer values are; it draws them when they have come.
function adopt(before, after) {
  for (const { name } of [...before.attributes]) if (!after.hasAttribute(name)) before.removeAttribute(name);
  for (const { name, value } of after.attributes) if (before.getAttribute(name) !== value) before.setAttribute(name, value);
}

addEventListener("pagehide", () => view.write());
