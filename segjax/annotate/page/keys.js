/** The keys: what each does, in the order and the words of the help sheet. */

import { byId } from "./dom.js";
import { POINTS } from "./reading.js";

const PAN = 80; // css pixels
const ZOOM = 1.25;
const STEP = 10; // of brightness and contrast
const OWN_ENTER = "button, a, summary, select"; // what Enter acts on by itself
const TEXT = "input[type=text], input[type=search], textarea";

/**
 * @typedef {{keys: string[], text: string, run: (key: string) => void, repeats: boolean}} Binding
 * @param {import("./workbench.js").Workbench} bench
 * @param {{help: () => void, images: () => void}} sheets what opens them
 * @returns {Object<string, Binding[]>} by heading
 */
export function bindings(bench, sheets) {
  const look = (change) => () => bench.look(change);
  const by = (name, step) => () => bench.set({ [name]: bench.settings[name] + step });
  const pan = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const regionOf = Object.fromEntries(bench.session.regions.map(({ name, key }) => [key, name]));
  const bind = (keys, text, run) => ({ keys: keys.split(" "), text, run, repeats: false });
  // What is hidden is not marked unseen
  const mark = (keys, text, run) => bind(keys, text, (key) => bench.marksAreShown() && run(key));
  const hold = (keys, text, run) => ({ ...bind(keys, text, run), repeats: true });
  return {
    Findings: [
      bind("1 2 3 4 5 6 7 8 9", "pick finding 1 to 9", (key) => pickNumber(bench, Number(key))),
      hold("[", "previous finding", () => bench.pickBeside(-1)),
      hold("]", "next finding", () => bench.pickBeside(1)),
      bind("/", "filter the findings", () => focusOn("filter", "finding-list")),
      mark(Object.keys(regionOf).join(" "), "mark a region, or take its mark away", (key) =>
        bench.toggleRegion(regionOf[key]),
      ),
      mark("n", "eye is normal, or not", () => bench.toggleNormal()),
      mark("N", "cannot be graded, or can", () => bench.toggleUngradable()),
      bind("t", "write a note", () => byId("note").focus()),
      bind("u Ctrl+z", "undo", () => bench.undo()),
      bind("U Ctrl+Z Ctrl+y", "redo", () => bench.redo()),
    ],
    "Points and proposals": [
      bind("p", "place the disc and the fovea again", () => bench.placeAgain(POINTS)),
      mark("y", "accept what is proposed", () => bench.proposals.acceptNext()),
    ],
    Images: [
      bind("Enter", "finish this image, go to the next unfinished", () => bench.finish()),
      bind(", PageUp", "previous image", () => bench.step(-1)),
      bind(". PageDown", "next image", () => bench.step(1)),
      bind("j", "next unfinished image", () => bench.nextUnfinished()),
      bind("i", "list of images", sheets.images),
    ],
    View: [
      hold("+ =", "zoom in", look((view) => view.zoom(ZOOM))),
      hold("-", "zoom out", look((view) => view.zoom(1 / ZOOM))),
      bind("0", "whole photograph", look((view) => view.fit())),
      bind("o", "one screen pixel for each pixel", look(actualPixels)),
      hold(Object.keys(pan).join(" "), "move the photograph", (key) =>
        bench.look((view) => view.pan(...pan[key].map((step) => step * PAN))),
      ),
    ],
    Display: [
      hold("b", "brighter", by("brightness", STEP)),
      hold("B", "darker", by("brightness", -STEP)),
      hold("c", "more contrast", by("contrast", STEP)),
      hold("C", "less contrast", by("contrast", -STEP)),
      bind("g", "green channel", () => bench.toggle("green")),
      bind("x", "photograph as it is", () => bench.neutral()),
      bind("v", "marks", () => bench.toggle("marks")),
      bind("l", "names of regions", () => bench.toggle("names")),
      bind("m", "map of the model", () => bench.toggleMap()),
    ],
    "This page": [
      bind("?", "this sheet", sheets.help),
      bind("Escape", "leave a field, a sheet or placing", () => escape(bench)),
    ],
  };
}

/** Zooms to one screen pixel for each of the photograph. */
export function actualPixels(view) {
  view.zoom(1 / devicePixelRatio / view.scale);
}

/** Listens to the keyboard. */
export function listen(bench, groups) {
  const byKey = new Map();
  for (const binding of Object.values(groups).flat()) {
    for (const key of binding.keys) byKey.set(key, binding);
  }
  document.addEventListener("keydown", (event) => {
    const key = nameOf(event);
    const binding = byKey.get(key);
    if (!binding || !isOurs(event, key, bench)) return;
    event.preventDefault();
    // A key that is held down marks and unmarks nothing by turns
    if (!event.repeat || binding.repeats) binding.run(key);
  });
}

/** How a key is named in the bindings; shift alone makes capitals, whatever the lock says. */
function nameOf({ key, shiftKey, ctrlKey, metaKey }) {
  const isLetter = /^\p{L}$/u.test(key);
  const name = !isLetter ? key : shiftKey ? key.toUpperCase() : key.toLowerCase();
  return ctrlKey || metaKey ? `Ctrl+${name}` : name;
}

function isOurs(event, key, bench) {
  const { target } = event;
  if (event.isComposing || event.altKey || event.defaultPrevented || !bench.annotator) return false;
  if (document.querySelector("dialog[open]")) return false;
  if (key === "Escape") return true;
  if (target.matches(TEXT)) return false;
  if (key === "Enter") return !event.repeat && !target.matches(OWN_ENTER);
  // Sliders and choices have keys of their own
  if (key.length > 1 && !key.startsWith("Ctrl+")) {
    return !target.matches("input[type=range], input[type=radio], select");
  }
  return key.length > 1 || bench.settings.letters;
}

function pickNumber(bench, number) {
  const name = bench.findingNames[number - 1];
  if (name) bench.pick(name);
  else bench.say(`There are ${bench.findingNames.length} findings.`);
}

function focusOn(id, otherwise) {
  const field = byId(id);
  if (field.offsetParent) field.focus();
  else byId(otherwise).querySelector("input")?.focus();
}

function escape(bench) {
  document.activeElement?.blur();
  if (!bench.again.length) return;
  bench.again = [];
  bench.say("Nothing was moved.");
}
