/** The canvas: its size, and redrawing it when something has changed. */

import { byId, setText } from "./dom.js";
import { drawMarks } from "./marks.js";
import { Paper } from "./paper.js";
import { moved, touched } from "./reading.js";
import { summary } from "./words.js";

export class Stage {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.canvas = byId("photograph");
    this.asked = false;
    bench.onChange(() => [this.ask(), this.describe()]);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
    this.watchRatio();
    this.resize();
  }

  /** The window may move to a screen of another pixel ratio without changing its size. */
  watchRatio() {
    const query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    query.addEventListener("change", () => [this.watchRatio(), this.resize()], { once: true });
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || !height) return;
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    this.unit = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.bench.view.resize(width, height);
    // At once: a canvas whose size was set is empty
    this.draw();
    this.bench.changed();
  }

  /** Draws at the next frame. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => this.asked && this.draw());
  }

  draw() {
    this.asked = false;
    const started = performance.now();
    const { bench } = this;
    const { view, settings, photograph } = bench;
    const paper = new Paper(this.canvas, view, this.unit);
    if (photograph) {
      photograph.draw(paper, settings);
      this.drawMap(paper);
      if (settings.marks) drawMarks(paper, this.scene());
    } else {
      paper.clear();
    }
    this.note("drawMs", performance.now() - started);
    if (photograph && bench.openedAt !== null) {
      this.note("openMs", performance.now() - bench.openedAt);
      bench.openedAt = null;
    }
  }

  drawMap(paper) {
    const { settings, image, proposals } = this.bench;
    const map = settings.map && proposals.activation;
    if (!map) return;
    paper.photograph();
    paper.context.imageSmoothingEnabled = true;
    paper.context.globalAlpha = settings.opacity / 100;
    paper.context.drawImage(map, 0, 0, image.width, image.height);
    paper.context.globalAlpha = 1;
  }

  scene() {
    const { bench } = this;
    const { edits } = bench.queue;
    return {
      shapes: bench.shapes,
      reading: bench.drag ? { ...bench.reading, [bench.drag.point]: bench.drag.at } : bench.reading,
      findings: bench.findingNames,
      picked: bench.picked,
      hover: bench.hover,
      touched: touched(edits),
      moved: moved(edits),
      dragged: bench.drag?.point ?? null,
      names: bench.settings.names ? bench.labels : null,
      predicted: bench.proposals.points,
      proposed: bench.proposals.open.slice(0, 1),
    };
  }

  /** Draws now and waits until it is on the canvas; for measurements. Returns milliseconds. */
  redraw() {
    const started = performance.now();
    this.draw();
    this.canvas.getContext("2d").getImageData(0, 0, 1, 1);
    const took = performance.now() - started;
    this.note("drawMs", took);
    return took;
  }

  note(name, milliseconds) {
    this.bench.timings[name] = milliseconds;
    document.documentElement.dataset[name] = milliseconds.toFixed(2);
  }

  /** Says to those who do not see the canvas what it shows. */
  describe() {
    const { bench } = this;
    const text = bench.image
      ? `Photograph ${bench.image.name}: ${summary(bench.reading, bench.labels)}`
      : "No photograph";
    if (this.canvas.getAttribute("aria-label") !== text) {
      this.canvas.setAttribute("aria-label", text);
    }
    setText(byId("problem"), bench.problem ?? "");
    byId("problem").hidden = !bench.problem;
  }
}
