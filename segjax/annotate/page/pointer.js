/** The mouse, pen or finger on the photograph: clicks place and mark, drags pan and move points. */

import { byId, setText } from "./dom.js";
import { moved, POINTS, POINT_LABELS, regionsOf } from "./reading.js";

const SLACK = 4; // css pixels that a click may move
const GRIP = 0.95; // rem around a point in which it is taken hold of
const PER_WHEEL = 0.0015; // of the zoom's logarithm, per pixel that a wheel turns
const PER_PINCH = 0.01;
const LINE = 20; // css pixels of a line, in which some wheels count

export class Pointer {
  /** @param {import("./workbench.js").Workbench} bench @param {import("./stage.js").Stage} stage */
  constructor(bench, stage) {
    Object.assign(this, { bench, stage, press: null, at: null });
    this.canvas = stage.canvas;
    this.label = byId("pointer-label");
    const listen = (name, work) => this.canvas.addEventListener(name, (event) => work(event));
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => this.move(event));
    listen("pointerup", (event) => this.up(event));
    listen("pointercancel", () => this.drop());
    listen("pointerleave", () => this.leave());
    listen("wheel", (event) => this.wheel(event));
    bench.onChange(() => this.showLabel());
  }

  /** Where an event is, in css pixels from the canvas's corner. */
  cssOf({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  }

  down(event) {
    const { bench } = this;
    if (!bench.image || event.button > 1 || this.press) return;
    event.preventDefault();
    document.activeElement?.blur();
    this.canvas.setPointerCapture(event.pointerId);
    const css = this.cssOf(event);
    const point = event.button === 0 && !bench.placing ? this.pointAt(css) : null;
    const { pointerId, button } = event;
    this.press = { css, last: css, point, moved: false, pointerId, button, image: bench.image };
  }

  move(event) {
    const { bench, press } = this;
    // A second finger moves nothing
    if (press && press.pointerId !== event.pointerId) return;
    const css = this.cssOf(event);
    this.at = css;
    if (press) {
      const [dx, dy] = [css[0] - press.css[0], css[1] - press.css[1]];
      press.moved ||= Math.hypot(dx, dy) > SLACK;
      if (press.moved) this.drag(press, css);
      press.last = css;
    } else {
      this.hover();
    }
    this.showLabel();
    this.canvas.style.cursor = this.cursor();
    if (press?.moved) bench.changed();
  }

  drag(press, css) {
    const { bench } = this;
    if (press.image !== bench.image) return;
    if (press.point) {
      bench.drag = { point: press.point, at: this.within(css) };
    } else {
      // From where it went down: the slack is not lost
      const from = press.panned ? press.last : press.css;
      press.panned = true;
      bench.view.pan(css[0] - from[0], css[1] - from[1]);
    }
  }

  up(event) {
    const { bench, press } = this;
    if (press?.pointerId !== event.pointerId || event.button !== press.button) return;
    const css = this.cssOf(event);
    if (press.image === bench.image) {
      if (!press.moved && press.button === 0) this.click(css);
      else if (bench.drag) bench.edit({ kind: "point", ...bench.drag });
    }
    this.drop();
    this.hover();
  }

  drop() {
    this.press = null;
    this.bench.drag = null;
    this.bench.changed();
  }

  leave() {
    if (this.press) return;
    this.at = null;
    this.hover();
    this.showLabel();
  }

  click(css) {
    const { bench } = this;
    const at = bench.view.toImage(...css);
    if (!bench.view.holds(...at)) return;
    if (bench.placing) {
      bench.place(at);
      return;
    }
    if (!bench.marksAreShown()) return;
    // Regions that are drawn are not those of a point that is on its way
    const isOld = moved(bench.queue.edits).size > 0;
    const region = isOld ? null : bench.shapes?.at(...at);
    if (region) bench.toggleRegion(region);
    else if (isOld) bench.say("The regions are being worked out; click again.");
    else if (!bench.shapes) bench.say("Regions follow from disc and fovea: p places them.");
  }

  wheel(event) {
    event.preventDefault();
    const { deltaY, deltaMode, ctrlKey } = event;
    const turned = deltaMode === WheelEvent.DOM_DELTA_PIXEL ? deltaY : deltaY * LINE;
    const factor = Math.exp(-turned * (ctrlKey ? PER_PINCH : PER_WHEEL));
    this.bench.look((view) => view.zoom(factor, ...this.cssOf(event)));
    this.hover();
  }

  /** The point whose handle is under the pointer. */
  pointAt(css) {
    const { bench, stage } = this;
    const reach = GRIP * stage.unit;
    const isNear = (name) => {
      const at = bench.reading[name];
      if (!at || !bench.settings.marks) return false;
      const [x, y] = bench.view.toCss(...at);
      return Math.hypot(x - css[0], y - css[1]) <= reach;
    };
    return POINTS.find(isNear) ?? null;
  }

  /** A point of the photograph, the nearest where the pointer has left it. */
  within(css) {
    const [x, y] = this.bench.view.toImage(...css);
    const { width, height } = this.bench.image;
    return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
  }

  hover() {
    const { bench } = this;
    const at = this.at && bench.image && bench.view.toImage(...this.at);
    const isOn = at && bench.view.holds(...at) && !bench.placing && bench.settings.marks;
    const region = isOn ? (bench.shapes?.at(...at) ?? null) : null;
    if (region === bench.hover) return;
    bench.hover = region;
    bench.changed();
  }

  cursor() {
    if (this.press?.moved) return "grabbing";
    if (this.at && !this.bench.placing && this.pointAt(this.at)) return "grab";
    return "crosshair";
  }

  showLabel() {
    const text = this.at && !this.press?.moved ? this.labelText() : "";
    this.label.hidden = !text;
    if (!text) return;
    setText(this.label, text);
    const [x, y] = this.at;
    const { offsetWidth, offsetHeight } = this.label;
    const { width, height } = this.bench.view;
    const left = x + 16 + offsetWidth > width ? x - 12 - offsetWidth : x + 16;
    const top = y + 18 + offsetHeight > height ? y - 12 - offsetHeight : y + 18;
    this.label.style.transform = `translate(${left}px, ${top}px)`;
  }

  labelText() {
    const { bench } = this;
    if (!bench.image || !bench.view.holds(...bench.view.toImage(...this.at))) return "";
    if (bench.placing) return `click: ${POINT_LABELS[bench.placing]}`;
    if (!bench.hover) return "";
    const { labels, reading, picked, hover } = bench;
    const here = bench.findingNames.filter((name) => regionsOf(reading, name).includes(hover));
    const shown = here.slice(0, 6).map((name) => labels[name]);
    if (here.length > shown.length) shown.push(`${here.length - shown.length} more`);
    const marks = shown.length ? `: ${shown.join(", ")}` : "";
    const act = !picked
      ? "pick a finding to mark it"
      : `click ${here.includes(picked) ? "takes away" : "marks"} ${labels[picked]}`;
    return `${labels[hover]}${marks}\n${act}`;
  }
}
