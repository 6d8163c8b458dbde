/**
 * Readings and edits, without the server: what an edit will make of a reading, and in words.
 *
 * @typedef {[number, number]} Point
 * @typedef {{disc: ?Point, fovea: ?Point, findings: Object<string, string[]>, normal: boolean,
 *   ungradable: boolean, note: string, done: boolean}} Reading
 */

/** @type {Reading} */
export const EMPTY = {
  disc: null,
  fovea: null,
  findings: {},
  normal: false,
  ungradable: false,
  note: "",
  done: false,
};

/** Findings, and what may stand in their place: each takes the others away. */
const ANSWERS = { findings: {}, normal: false, ungradable: false };

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
      return { ...reading, ...(edit.normal && ANSWERS), normal: edit.normal };
    case "ungradable":
      return { ...reading, ...(edit.ungradable && ANSWERS), ungradable: edit.ungradable };
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
  return { ...reading, ...(regions.length && ANSWERS), findings };
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
