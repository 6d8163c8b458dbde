/** What trained networks propose of the photograph that is shown. Accepting is an edit like any. */

import { imagePath, picture, picturePath, request } from "./api.js";
import { POINTS, regionsOf } from "./reading.js";

const PATIENCE = 600; // seconds; a network is loaded, and compiled, with the first question

export class Proposals {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.clear();
  }

  /** Forgets what was proposed of another photograph. */
  clear() {
    this.control?.abort();
    this.control = new AbortController();
    this.found = { points: {}, findings: [] };
    this.dismissed = new Set();
    this.maps = {};
    this.asking = false;
    this.problem = null;
    this.basis = null;
  }

  get offered() {
    const { points, findings } = this.bench.session.proposals;
    return points || findings.length > 0;
  }

  /** Points that are proposed and not set. */
  get points() {
    const missing = POINTS.filter((name) => !this.bench.reading[name] && this.found.points[name]);
    return Object.fromEntries(missing.map((name) => [name, this.found.points[name]]));
  }

  /** Findings that wait for a decision: present by the model, not dismissed, not marked so. */
  get open() {
    return this.found.findings.filter((each) => this.isPresent(each) && !this.isDecided(each));
  }

  isPresent({ probability, threshold }) {
    return probability >= threshold;
  }

  isDecided(each) {
    return this.dismissed.has(each.finding) || this.isAccepted(each);
  }

  isAccepted({ finding, regions }) {
    const marked = regionsOf(this.bench.reading, finding);
    return Boolean(regions?.length) && [...regions].sort().join() === [...marked].sort().join();
  }

  /** The finding whose map is shown: the picked one's where it has one, else the first. */
  get mapFinding() {
    const withMap = this.found.findings.filter((each) => each.map);
    const { picked } = this.bench;
    return (withMap.find((each) => each.finding === picked) ?? withMap[0])?.finding ?? null;
  }

  /** The picture of that map; null until it is there. */
  get activation() {
    const name = this.mapFinding;
    if (!name) return null;
    if (!(name in this.maps)) this.loadMap(name);
    return this.maps[name];
  }

  async loadMap(name) {
    const { signal } = this.control;
    this.maps[name] = null;
    try {
      const path = picturePath(this.bench.image, `activation/${encodeURIComponent(name)}`);
      this.maps[name] = await picture(path, { signal, patience: PATIENCE });
      this.bench.changed();
    } catch (error) {
      if (!signal.aborted) this.bench.say(error.message, { isError: true });
    }
  }

  /** Asks for proposals, again where the points that regions follow from have changed. */
  async ask() {
    const { bench } = this;
    const { disc, fovea } = bench.held.reading;
    const basis = JSON.stringify([disc, fovea]);
    if (!this.offered || !bench.image || this.asking || this.basis === basis) return;
    const { signal } = this.control;
    const path = `${imagePath(bench.annotator.id, bench.image.id)}/proposal`;
    Object.assign(this, { asking: true, basis, problem: null });
    bench.changed();
    try {
      this.found = await request(path, { signal, patience: PATIENCE });
    } catch (error) {
      if (signal.aborted) return;
      this.problem = error.message;
    }
    if (signal.aborted) return;
    this.asking = false;
    bench.changed();
    this.ask();
  }

  /** Accepts the points, or else the first finding that waits. */
  acceptNext() {
    if (Object.keys(this.points).length) return this.acceptPoints();
    if (this.open.length) return this.acceptFinding(this.open[0]);
    return this.bench.say("Nothing is proposed that waits for an answer.");
  }

  acceptPoints() {
    const [[point, at], other] = Object.entries(this.points);
    if (other) return this.bench.edit({ kind: "points", ...this.points });
    return this.bench.edit({ kind: "point", point, at });
  }

  /** Whether a finding's regions may be marked: they follow from points that are placed. */
  isAcceptable({ regions }) {
    const { disc, fovea } = this.bench.reading;
    return Boolean(regions?.length && disc && fovea);
  }

  acceptFinding(each) {
    const { finding, regions } = each;
    if (!this.isAcceptable(each)) {
      return this.bench.say("Set the optic disc and the fovea first: regions follow from them.");
    }
    this.bench.pick(finding);
    return this.bench.edit({ kind: "finding", finding, regions });
  }

  dismiss({ finding }) {
    this.dismissed.add(finding);
    this.bench.changed();
  }
}
