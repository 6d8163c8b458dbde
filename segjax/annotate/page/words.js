/** Readings and edits in words. `labels` are those of findings and regions. */

import { POINTS, POINT_LABELS } from "./reading.js";

/** A sentence's first letter. */
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** An edit. */
export const described = (edit, labels) => capital(phrase(edit, labels));

function phrase(edit, labels) {
  const names = (regions) => regions.map((name) => labels[name]).join(", ");
  switch (edit.kind) {
    case "point":
      return `${POINT_LABELS[edit.point]} ${edit.at ? "set" : "taken away"}`;
    case "points":
      return "optic disc and fovea set";
    case "region": {
      const marked = edit.marked ? "marked" : "no longer marked";
      return `${labels[edit.region]} ${marked} for ${labels[edit.finding]}`;
    }
    case "finding":
      return `${names(edit.regions) || "no region"} marked for ${labels[edit.finding]}`;
    case "normal":
      return edit.normal ? "eye marked as normal" : "eye no longer marked as normal";
    case "ungradable":
      return edit.ungradable ? "marked: cannot be graded" : "no longer marked: cannot be graded";
    case "note":
      return "note kept";
    case "done":
      return edit.done ? "image finished" : "image opened again";
    default:
      return edit.kind === "undo" ? "undone" : "done again";
  }
}

/** What an edit took away besides; nothing where it did not. */
export function consequence(edit, before, after) {
  const count = ({ findings }) => Object.values(findings).flat().length;
  const lost = count(before) - count(after);
  const isAnswer = edit.kind === "normal" || edit.kind === "ungradable";
  const isStep = edit.kind === "undo" || edit.kind === "redo";
  const isGone = (name) => !isStep && edit.kind !== name && before[name] && !after[name];
  const said = [""];
  if (isAnswer && lost > 0) {
    const [marks, them] = lost > 1 ? ["marks", "them"] : ["mark", "it"];
    said.push(`${lost} ${marks} taken away, u brings ${them} back`);
  }
  if (isGone("normal")) said.push("the eye is no longer marked as normal");
  if (isGone("ungradable")) said.push("it can be graded");
  if (edit.kind !== "done" && before.done && !after.done) {
    said.push("the image is no longer finished");
  }
  return said.join("; ");
}

/** A reading in one sentence, for those who do not see the marks. */
export function summary(reading, labels) {
  const points = POINTS.map((name) => `${POINT_LABELS[name]} ${reading[name] ? "set" : "not set"}`);
  const findings = Object.entries(reading.findings).map(
    ([name, regions]) => `${labels[name]} in ${regions.map((region) => labels[region]).join(", ")}`,
  );
  if (reading.normal) findings.push("eye is normal");
  if (reading.ungradable) findings.push("cannot be graded");
  const said = findings.length ? findings : ["nothing marked"];
  return [...points, ...said, reading.done ? "finished" : "not finished"].join("; ");
}

/** Which eye the points are of: on a photograph the disc lies to the right of a right fovea. */
export function eyeOf({ disc, fovea }) {
  if (!disc || !fovea || disc[0] === fovea[0]) return "";
  return disc[0] > fovea[0] ? "right eye" : "left eye";
}
