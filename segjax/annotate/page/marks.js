/** Draws regions, marks and points over the photograph. Lines and text are in css pixels. */

import { chipOf, drawLabel, hatchOf } from "./ink.js";
import { look } from "./palette.js";
import { POINTS, POINT_LABELS, regionsOf } from "./reading.js";

const GAP = 0.15; // between chips, of their size
const CLOSE = 3; // times the whole photograph's size, from which on no hatch lies over lesions
const SMALL_FROM = 16; // chips in a region from which on they are drawn smaller

/**
 * What is drawn.
 * @typedef {{shapes: ?import("./shapes.js").Shapes, reading: import("./reading.js").Reading,
 *   findings: string[], picked: ?string, hover: ?string, touched: Set<string>,
 *   moved: Set<string>, names: ?Object<string, string>, predicted: Object<string, Point>,
 *   dragged: ?string, proposed: {finding: string, regions: ?string[]}[]}} Scene `names`: labels of regions, null to leave them out
 */

/** @param {import("./paper.js").Paper} paper @param {Scene} scene */
export function drawMarks(paper, scene) {
  if (scene.shapes) {
    paper.photograph();
    drawPicked(paper, scene);
    drawOutlines(paper, scene);
    drawProposed(paper, scene);
    drawHover(paper, scene);
    paper.screen();
    drawAnchored(paper, scene);
  }
  paper.screen();
  drawPoints(paper, scene);
}

function drawPicked({ context, view, unit }, { shapes, reading, findings, picked, touched }) {
  if (!picked) return;
  const { colour } = look(findings.indexOf(picked));
  const hatch = hatchOf(context, colour, unit / view.scale);
  for (const region of regionsOf(reading, picked)) {
    const path = shapes.paths[region];
    const saving = touched.has(`${picked}/${region}`);
    context.globalAlpha = saving ? 0.04 : 0.1;
    context.fillStyle = colour;
    context.fill(path);
    if (view.scale > CLOSE * view.fitScale) continue;
    context.globalAlpha = saving ? 0.2 : 0.55;
    context.fillStyle = hatch;
    context.fill(path);
  }
  context.globalAlpha = 1;
}

/** The regions of findings that a model proposes and nobody has decided on: dashed. */
function drawProposed(paper, { shapes, findings, proposed }) {
  const { context } = paper;
  context.setLineDash([paper.css(paper.unit * 0.7), paper.css(paper.unit * 0.5)]);
  context.lineWidth = paper.css(paper.unit * 0.28);
  for (const { finding, regions } of proposed) {
    context.strokeStyle = look(findings.indexOf(finding)).colour;
    for (const region of regions ?? []) context.stroke(shapes.paths[region]);
  }
  context.setLineDash([]);
}

function drawOutlines(paper, { shapes, moved, dragged }) {
  const { context } = paper;
  context.lineJoin = "round";
  // The points are on their way: the regions will be others
  if (moved.size || dragged) context.setLineDash([paper.css(6), paper.css(6)]);
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.lineWidth = paper.css(paper.unit * 0.25);
  context.stroke(shapes.all);
  context.strokeStyle = "rgba(255, 255, 255, 0.85)";
  context.lineWidth = paper.css(paper.unit * 0.09);
  context.stroke(shapes.all);
  context.setLineDash([]);
}

function drawHover(paper, { shapes, hover }) {
  if (!hover) return;
  const { context } = paper;
  context.strokeStyle = "#fff";
  context.lineWidth = paper.css(paper.unit * 0.2);
  context.stroke(shapes.paths[hover]);
}

/** Names of regions, and below each the chips of what is marked in it. */
function drawAnchored(paper, scene) {
  const { shapes, reading, findings, names, picked, touched } = scene;
  const marked = Object.fromEntries(Object.keys(shapes.anchors).map((region) => [region, []]));
  findings.forEach((finding, index) => {
    for (const region of regionsOf(reading, finding)) {
      const saving = touched.has(`${finding}/${region}`);
      marked[region]?.push({ index, saving, picked: finding === picked });
    }
  });
  for (const [region, anchor] of Object.entries(shapes.anchors)) {
    if (!anchor) continue;
    const [x, y] = besidePoints(paper, anchor, reading);
    if (names) drawLabel(paper, names[region], x, y, { middle: true });
    drawChips(paper, marked[region], x, y + (names ? paper.unit * 0.75 : 0));
  }
}

/** Where an anchor is on the screen; below the handle of a point where that stands there. */
function besidePoints({ view, unit }, anchor, reading) {
  const [x, y] = view.toCss(...anchor);
  const tops = POINTS.filter((name) => reading[name]).map((name) => view.toCss(...reading[name]));
  const hidden = tops.find(([px, py]) => Math.hypot(px - x, py - y) < unit * 2);
  return [x, hidden ? hidden[1] + unit * 1.7 : y];
}

function drawChips(paper, chips, x, top) {
  if (!chips.length) return;
  const { context, unit } = paper;
  const size = unit * (chips.length < SMALL_FROM ? 1.25 : 0.95);
  const step = size * (1 + GAP);
  const columns = Math.ceil(Math.sqrt(chips.length * 1.6));
  const left = x - (Math.min(columns, chips.length) * step - size * GAP) / 2;
  chips.forEach((chip, i) => {
    const picture = chipOf(chip, size, paper.ratioX);
    const [column, row] = [i % columns, Math.floor(i / columns)];
    context.globalAlpha = chip.saving ? 0.45 : 1;
    context.drawImage(picture, left + column * step, top + row * step, size, size);
  });
  context.globalAlpha = 1;
}

function drawPoints(paper, { reading, predicted, moved, dragged }) {
  for (const name of POINTS) {
    const at = reading[name];
    if (at) drawPoint(paper, name, at, moved.has(name) || dragged === name, POINT_LABELS[name]);
    else if (predicted[name]) {
      drawPoint(paper, name, predicted[name], true, `${POINT_LABELS[name]}, predicted`);
    }
  }
}

/** A ring for the disc, a cross for the fovea. */
function drawPoint(paper, name, at, dashed, label) {
  const { context, unit } = paper;
  const [x, y] = paper.view.toCss(...at);
  const radius = unit * 0.75;
  const path = new Path2D();
  if (name === "disc") {
    path.arc(x, y, radius, 0, 2 * Math.PI);
    path.moveTo(x + 1, y);
    path.arc(x, y, 1, 0, 2 * Math.PI);
  } else {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      path.moveTo(x + dx * radius * 0.25, y + dy * radius * 0.25);
      path.lineTo(x + dx * radius * 1.15, y + dy * radius * 1.15);
    }
  }
  context.setLineDash([]);
  context.strokeStyle = "rgba(0, 0, 0, 0.75)";
  context.lineWidth = unit * 0.36;
  context.lineCap = "round";
  context.stroke(path);
  context.setLineDash(dashed ? [unit * 0.25, unit * 0.3] : []);
  context.strokeStyle = "#fff";
  context.lineWidth = unit * 0.16;
  context.stroke(path);
  context.setLineDash([]);
  context.lineCap = "butt";
  drawLabel(paper, label, x + radius * 1.4, y - radius * 1.2, {});
}
