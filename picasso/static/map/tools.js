// <picasso-map-tools>: how the maps of this page are looked at. One bar is for all of them.

import { tables } from "./colours.js";
import { PicassoMap } from "./element.js";
import { WHOLE, zoomAt } from "./hand.js";
import { endsOf } from "./range.js";
import { saveMap, savePicture } from "./save.js";
import { make } from "./stage.js";
import { view } from "./view.js";

const STRENGTHS = [[100, "all"], ...[50, 25, 10, 5].map((share) => [share, `${share} %`])]; // of the pixels
const SCALES = [["shared", "all maps"], ["own", "this map"]];
const RANGES = [
  ["automatic", "automatic"],
  ["symmetric", "symmetric"],
  ["percentile", "99.5 %"],
  ["fixed", "fixed"],
];
const PICTURES = [["seen", "What the model sees"], ["original", "Original"]];
const COLOURS = { unsigned: "Colours from 0 up", signed: "Colours around 0" }; // where a page has maps of both kinds
const HELP = {
  unsigned: "Of the maps whose values have no sign",
  signed: "Of the maps whose values lie on both sides of zero",
  strongest: "Shows only so many of the pixels: those with the largest values, whatever their sign",
  scale: "Whether colours mean the same in all maps of this page that have the same unit",
  range:
    "The values at the ends of the colours. Automatic: the largest, with zero in the middle where values have a sign. " +
    "99.5 %: what so many of the pixels lie below",
};
const LINK = "Link to this view";
const ENDS = { low: "Lowest value", high: "Highest value" };
let count = 0; // of tool bars, for the names of their radio buttons

class PicassoMapTools extends HTMLElement {
  #shows = []; // each writes a part of the view into its control
  #onView = () => this.#shows.forEach((show) => show());

  connectedCallback() {
    if (!this.#shows.length) this.#build();
    view.addEventListener("change", this.#onView); // maps that come or go are a change too
    this.#onView();
  }

  disconnectedCallback() {
    view.removeEventListener("change", this.#onView);
  }

  // The one that is saved: where the person was last, else the first that is in sight.
  #map() {
    const maps = [...document.querySelectorAll("picasso-map")].filter((map) => map.offsetParent);
    const below = Math.max(0, this.getBoundingClientRect().bottom);
    const active = maps.find((map) => map === PicassoMap.active);
    return active ?? maps.find((map) => map.getBoundingClientRect().bottom > below) ?? maps[0];
  }

  #build() {
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", "How maps are shown");
    const strongest = this.#choice("Strongest", "strongest", STRENGTHS, HELP.strongest, Number);
    const rest = make("div", "rest", { id: `rest-of-tools-${++count}` });
    rest.append(this.#colours(), strongest, this.#range(), this.#smooth(), this.#picture(), this.#saving());
    this.append(this.#opacity(), this.#swipe(), this.#zoom(), this.#more(rest), rest);
  }

  // A narrow page shows the rest only when it is asked for: the bar stays in sight, and must not hide the maps.
  #more(rest) {
    const more = button("More", () => more.setAttribute("aria-expanded", this.classList.toggle("open")));
    more.className = "more-tools";
    more.setAttribute("aria-expanded", false);
    more.setAttribute("aria-controls", rest.id);
    return more;
  }

  #opacity() {
    const slider = make("input", "opacity", { type: "range", min: 0, max: 100, "aria-label": "Opacity of the map" });
    slider.addEventListener("input", () => view.set({ opacity: Number(slider.value) }));
    this.#shows.push(() => (slider.value = view.get("opacity")));
    return labelled("Map", slider);
  }

  // Colours of the kind that the page's maps have; of both where both are there.
  #colours() {
    const both = make("span", "together colours");
    const kinds = { unsigned: "picasso-map:not([signed])", signed: "picasso-map[signed]" };
    const labels = Object.keys(kinds).map((kind) => {
      const select = make("select");
      tables.then((colours) => {
        fill(select, Object.keys(colours[kind]).map((name) => [name, name]));
        select.value = view.get(kind);
      }, () => {}); // without colours there is no map either, which says why
      select.addEventListener("change", () => view.set({ [kind]: select.value }));
      this.#shows.push(() => (select.value = view.get(kind)));
      const label = labelled("Colours", select);
      label.title = HELP[kind];
      return { kind, label };
    });
    this.#shows.push(() => {
      const there = labels.filter(({ kind }) => document.querySelector(kinds[kind]));
      if (there.every(({ label }) => label.isConnected) && there.length === both.childElementCount) return;
      for (const { kind, label } of there) label.firstChild.data = there.length > 1 ? COLOURS[kind] : "Colours";
      both.replaceChildren(...there.map(({ label }) => label));
    });
    return both;
  }

  #choice(title, field, choices, help, read = String) {
    const select = make("select");
    fill(select, choices);
    select.addEventListener("change", () => view.set({ [field]: read(select.value) }));
    this.#shows.push(() => (select.value = view.get(field)));
    const label = labelled(title, select);
    label.title = help;
    return label;
  }

  #range() {
    const part = make("span", "together");
    const ends = ["low", "high"].map((field) => {
      const input = make("input", "", { type: "number", step: "any", "aria-label": ENDS[field] });
      input.addEventListener("change", () => Number.isFinite(input.valueAsNumber) && view.set({ [field]: input.valueAsNumber }));
      this.#shows.push(() => {
        input.hidden = view.get("range") !== "fixed";
        if (input !== document.activeElement) input.value = view.get(field);
      });
      return input;
    });
    const range = this.#choice("Ends", "range", RANGES, HELP.range, (value) => {
      const now = value === "fixed" && this.#map() && endsOf(this.#map()); // a fixed range begins as it is
      if (now) view.set({ low: rounded(now[0]), high: rounded(now[1]) });
      return value;
    });
    part.append(this.#choice("Range", "scale", SCALES, HELP.scale), range, ...ends);
    return part;
  }

  #smooth() {
    const box = make("input", "", { type: "checkbox" });
    box.addEventListener("change", () => view.set({ smooth: box.checked ? "on" : "off" }));
    this.#shows.push(() => (box.checked = view.get("smooth") === "on"));
    return labelled("Smooth", box);
  }

  #picture() {
    const group = make("fieldset", "segmented");
    const legend = make("legend", "hidden");
    legend.textContent = "Picture";
    group.append(legend);
    const name = `picture of tools ${count}`;
    for (const [value, title] of PICTURES) {
      const radio = make("input", "", { type: "radio", name, value, id: `${value} ${name}`.replaceAll(" ", "-") });
      const label = make("label", "", { for: radio.id });
      label.textContent = title;
      radio.addEventListener("change", () => view.set({ picture: value }));
      this.#shows.push(() => (radio.checked = view.get("picture") === value));
      group.append(radio, label);
    }
    this.#shows.push(() => (group.hidden = !document.querySelector("picasso-map[original]")));
    return group;
  }

  #swipe() {
    const swipe = button("Swipe", () => view.set({ swipe: view.get("swipe") === null ? 50 : null }));
    swipe.title = "Picture at the left of a line, map at its right";
    this.#shows.push(() => swipe.setAttribute("aria-pressed", view.get("swipe") !== null));
    return swipe;
  }

  #zoom() {
    const group = make("span", "zoom", { role: "group", "aria-label": "Zoom" });
    const out = button("−", () => zoomAt(1 / 1.5), "Zoom out");
    const all = button("", () => view.set(WHOLE), "Show the whole picture");
    const into = button("+", () => zoomAt(1.5), "Zoom in");
    this.#shows.push(() => {
      all.textContent = `${Math.round(view.get("zoom") * 100)} %`;
      all.setAttribute("aria-label", `${all.textContent}: show the whole picture`);
      out.disabled = all.disabled = view.get("zoom") === 1;
    });
    group.append(out, all, into);
    return group;
  }

  #saving() {
    const part = make("span", "saving");
    const copy = button(LINK, async () => {
      view.write();
      if (!navigator.clipboard) return void prompt("Copy this:", location.href); // only https and this machine have it
      await navigator.clipboard.writeText(location.href);
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = LINK), 2000);
    });
    copy.title = "Copies a link that opens exactly this view";
    part.append(
      button("Save picture", () => savePicture(this.#map()), "", "What is seen of the map that you were at last, with its colours and numbers (PNG)"),
      button("Save values", () => saveMap(this.#map()), "", "The numbers of the map that you were at last (.npy)"),
      copy,
    );
    return part;
  }
}

function rounded(value) {
  return Number(value.toPrecision(3));
}

function labelled(title, control) {
  const label = make("label");
  label.append(title, " ", control);
  return label;
}

function fill(select, choices) {
  select.replaceChildren(...choices.map(([value, title]) => new Option(title, value)));
}

function button(text, action, label = "", title = "") {
  const made = make("button", "", { type: "button", ...(label && { "aria-label": label }), ...((title || label) && { title: title || label }) });
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}

customElements.define("picasso-map-tools", PicassoMapTools);
