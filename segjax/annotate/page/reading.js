/**
 * Readings and edits, without the server: what an edit will make of a reading, and in words.
 *
 * @typedef {[number, number]} Point
 * @typedef {{disc: ?Point, fovea: ?Point, findings: Object<string, string[]>, normal: boolean,
 *   note: string, done: boolean}} Reading
 */

/** @type {Reading} */
export const EMPTY = {
  disc: null,
  fovea: null,
  findings: {},
  normal: false,
  note: "",
  done: false,
};

export const POINTS = ["disc", "fovea"];
export const POINT_LABELS = { disc: "optic disc", fovea: "fovea" };

/**
 * The reading that an edit will presumably lead to; undo and redo are known to the server alone.
 * @param {Reading} reading
 * @param {object} edit
 * @returns {Reading}
 */
export function applied(reading, edit) {
  switch (edit.kind) {
    case "point":
      return { ...reading, [edit.point]: edit.at };
    case "points":
      return { ...reading, disc: edit.disc, fovea: edit.fovea };
    case "region": {
      const others = regionsOf(reading, edit.finding).filter((name) => name !== edit.region);
      return withFinding(reading, edit.finding, edit.marked ? [...others, edit.region] : others);
    }
    case "finding":
      return withFinding(reading, edit.finding, edit.regions);
    case "normal":
      return { ...reading, normal: edit.normal, findings: edit.normal ? {} : reading.findings };
    case "note":
      return { ...reading, note: edit.note };
    case "done":
      return { ...reading, done: edit.done };
    default:
      return reading;
  }
}

/** The regions that a finding is marked in. A finding may be called as something of every object. */
export const regionsOf = (reading, finding) =>
  Object.hasOwn(reading.findings, finding) ? reading.findings[finding] : [];

function withFinding(reading, finding, regions) {
  const findings = { ...reading.findings, [finding]: regions };
  if (!regions.length) delete findings[finding];
  return { ...reading, findings, normal: reading.normal && !regions.length };
}

/** Marks that edits on their way touch, as "finding/region". */
export function touched(edits) {
  const found = new Set();
  for (const edit of edits) {
    const regions = edit.kind === "region" ? [edit.region] : edit.regions;
    for (const region of regions ?? []) found.add(`${edit.finding}/${region}`);
  }
  return found;
}

/** Points that edits on their way move. */
export function moved(edits) {
  return new Set(edits.flatMap((edit) => (edit.kind === "points" ? POINTS : (edit.point ?? []))));
}

/** An edit in words, `labels` giving those of findings and regions. */
export function described(edit, labels) {
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
      return edit.normal ? "Eye marked as normal" : "Eye no longer marked as normal";
    case "note":
      return "note kept";
    case "done":
      return edit.done ? "image finished" : "image opened again";
    default:
      return edit.kind === "undo" ? "undone" : "done again";
  }
}

/** What an edit took away besides, in words; nothing where it did not. */
export function consequence(edit, before, after) {
  const count = ({ findings }) => Object.values(findings).flat().length;
  const lost = count(before) - count(after);
  if (edit.kind === "normal" && edit.normal && lost > 0) {
    return `; ${lost} mark${lost > 1 ? "s" : ""} taken away, u brings them back`;
  }
  const isMark = edit.kind === "region" || edit.kind === "finding";
  return isMark && before.normal && !after.normal ? "; the eye is no longer marked as normal" : "";
}

/** A reading in one sentence, for those who do not see the marks. */
export function summary(reading, labels) {
  const points = POINTS.map((name) => `${POINT_LABELS[name]} ${reading[name] ? "set" : "not set"}`);
  const findings = Object.entries(reading.findings).map(
    ([name, regions]) => `${labels[name]} in ${regions.map((region) => labels[region]).join(", ")}`,
  );
  const said = reading.normal ? ["eye is normal"] : findings.length ? findings : ["nothing marked"];
  return [...points, ...said, reading.done ? "finished" : "not finished"].join("; ");
}
