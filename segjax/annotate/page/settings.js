/** What this browser remembers: the display and the keys for good, the annotator for a tab. */

import { NEUTRAL } from "./adjust.js";

const DISPLAY = "segjax.display";
const LAST_NAME = "segjax.name";
const ANNOTATOR = `segjax.annotator ${location.pathname}`; // of this file: the path has its token

const DEFAULTS = { ...NEUTRAL, marks: true, names: true, map: false, opacity: 50, letters: true };

export const LIMITS = { brightness: [-100, 100], contrast: [-100, 100], opacity: [0, 100] };

/** @returns {typeof DEFAULTS} */
export function loadSettings() {
  const found = read(localStorage, DISPLAY) ?? {};
  const right = Object.entries(DEFAULTS).map(([name, value]) => [
    name,
    typeof found[name] === typeof value ? found[name] : value,
  ]);
  return Object.fromEntries(right);
}

export const saveSettings = (settings) => write(localStorage, DISPLAY, settings);
export const lastName = () => read(localStorage, LAST_NAME) ?? "";
export const annotatorOfTab = () => read(sessionStorage, ANNOTATOR);

/** @param {?string} name null to forget */
export function keepAnnotator(name) {
  write(sessionStorage, ANNOTATOR, name);
  if (name) write(localStorage, LAST_NAME, name);
}

// A browser may forbid both: then nothing is remembered, and all else works
function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    /* see read */
  }
}
