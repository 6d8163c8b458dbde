/** The bar below the photograph: zoom, brightness, contrast, green channel, marks and map. */

import { isNeutral } from "./adjust.js";
import { byId, setText } from "./dom.js";
import { actualPixels } from "./keys.js";
import { LIMITS } from "./settings.js";

const SWITCHES = ["green", "marks", "names", "map"];
const ZOOM = 1.25;

export class Display {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    for (const [name, [low, high]] of Object.entries(LIMITS)) {
      const slider = Object.assign(byId(name), { min: low, max: high });
      slider.addEventListener("input", () => bench.set({ [name]: slider.valueAsNumber }));
    }
    for (const name of SWITCHES) {
      byId(name).addEventListener("change", (event) => bench.set({ [name]: event.target.checked }));
    }
    const click = (id, run) => byId(id).addEventListener("click", run);
    click("neutral", () => bench.neutral());
    click("zoom-in", () => bench.look((view) => view.zoom(ZOOM)));
    click("zoom-out", () => bench.look((view) => view.zoom(1 / ZOOM)));
    click("zoom-fit", () => bench.look((view) => view.fit()));
    click("zoom-pixels", () => bench.look(actualPixels));
    byId("map-tools").hidden = !bench.session.proposals.findings.length;
    bench.onChange(() => this.render());
  }

  render() {
    const { settings, view, image } = this.bench;
    for (const name of Object.keys(LIMITS)) {
      byId(name).value = settings[name];
      const sign = settings[name] > 0 && name !== "opacity" ? "+" : "";
      setText(byId(`${name}-value`), `${sign}${settings[name]}`);
    }
    for (const name of SWITCHES) byId(name).checked = settings[name];
    byId("neutral").disabled = isNeutral(settings);
    byId("opacity").disabled = !settings.map;
    const { mapFinding } = this.bench.proposals;
    const of = mapFinding ? ` of ${this.bench.labels[mapFinding]}, clear 0 to yellow 1` : "";
    setText(byId("map-name"), `Model's map${of}`);
    setText(byId("zoom"), image ? `${Math.round(view.scale * devicePixelRatio * 100)} %` : "");
  }
}
