/** What marks are drawn with: hatches, chips and labels, each made once and used again. */

import { look } from "./palette.js";

const FONT = "system-ui, sans-serif";
const HATCH = 18; // pixels of a tile from line to line
const PER_UNIT = 15; // pixels of a tile per rem

const hatches = new Map();
const chips = new Map();

/** Slanted lines of a colour, as far apart on the screen at any zoom; `unit` is a rem there. */
export function hatchOf(context, colour, unit) {
  if (!hatches.has(colour)) {
    const tile = canvasOf(HATCH * 2);
    const pen = tile.getContext("2d");
    pen.scale(2, 2);
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    for (const shift of [-HATCH, 0, HATCH]) {
      pen.moveTo(shift - 2, HATCH + 2);
      pen.lineTo(shift + HATCH + 2, -2);
    }
    pen.stroke();
    hatches.set(colour, context.createPattern(tile, "repeat"));
  }
  const pattern = hatches.get(colour);
  const scale = unit / PER_UNIT / 2;
  pattern.setTransform(new DOMMatrix([scale, 0, 0, scale, 0, 0]));
  return pattern;
}

/** A rounded square with a finding's number; that of the picked one has a white rim. */
export function chipOf({ index, picked }, size, ratio) {
  const side = Math.round(size * ratio);
  const key = `${index} ${picked} ${side}`;
  if (!chips.has(key)) {
    const canvas = canvasOf(side);
    drawChip(canvas.getContext("2d"), side, look(index), picked);
    chips.set(key, canvas);
  }
  return chips.get(key);
}

function drawChip(pen, side, { colour, text, number }, picked) {
  const rim = Math.max(1, side * (picked ? 0.1 : 0.06));
  pen.beginPath();
  pen.roundRect(rim / 2, rim / 2, side - rim, side - rim, side * 0.25);
  pen.fillStyle = colour;
  pen.fill();
  pen.lineWidth = rim;
  pen.strokeStyle = picked ? "#fff" : "rgba(0, 0, 0, 0.7)";
  pen.stroke();
  pen.fillStyle = text;
  pen.font = `600 ${side * (number.length > 2 ? 0.45 : 0.6)}px ${FONT}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(number, side / 2, side * 0.54);
}

/** Text with a dark rim, legible on bright and on dark; `middle` about x, else from it. */
export function drawLabel({ context, unit }, text, x, y, { middle = false }) {
  context.font = `500 ${unit * 0.85}px ${FONT}`;
  context.textAlign = middle ? "center" : "left";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.lineWidth = unit * 0.28;
  context.strokeStyle = "rgba(0, 0, 0, 0.8)";
  context.strokeText(text, x, y);
  context.fillStyle = "#fff";
  context.fillText(text, x, y);
}

function canvasOf(side) {
  return Object.assign(document.createElement("canvas"), { width: side, height: side });
}
