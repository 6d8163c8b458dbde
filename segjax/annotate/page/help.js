/** The sheet of keys, with the switch that turns single letters off. */

import { byId, make } from "./dom.js";

const SHOWN = {
  ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc",
  N: "Shift+n", U: "Shift+u", B: "Shift+b", C: "Shift+c", "Ctrl+Z": "Ctrl+Shift+z",
  PageUp: "Page up", PageDown: "Page down",
};

export class Help {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.dialog = byId("help");
    this.letters = byId("letters");
    this.letters.addEventListener("change", () => bench.set({ letters: this.letters.checked }));
    byId("help-close").addEventListener("click", () => this.dialog.close());
    bench.onChange(() => (this.letters.checked = bench.settings.letters));
  }

  /** @param {Object<string, import("./keys.js").Binding[]>} groups */
  fill(groups) {
    byId("keys").replaceChildren(...Object.entries(groups).map(([title, bindings]) =>
      make("section", {}, make("h3", {}, title), make("dl", {}, ...bindings.flatMap(rowOf))),
    ));
  }

  open() {
    this.dialog.showModal();
  }
}

function rowOf({ keys, text }) {
  const shown = keys.map((key) => make("kbd", {}, SHOWN[key] ?? key));
  return [make("dt", {}, ...shown), make("dd", {}, text)];
}
