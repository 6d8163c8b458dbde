/** What is on the table: session, annotator, photograph, reading; and what can be done with it. */

import { imagePath, request } from "./api.js";
import { NEUTRAL } from "./adjust.js";
import { Overviews } from "./overviews.js";
import { Photograph } from "./photograph.js";
import { Proposals } from "./proposals.js";
import { Queue } from "./queue.js";
import { applied, EMPTY, POINT_LABELS, POINTS, regionsOf } from "./reading.js";
import { LIMITS, loadSettings, saveSettings } from "./settings.js";
import { Shapes } from "./shapes.js";
import { View } from "./view.js";
import { capital, consequence, described } from "./words.js";

const NOTHING = { reading: EMPTY, state: 0, undo: false, redo: false, saved: null, regions: null };
const RETRY = 1000; // ms after which an image is asked for again
const NOTE_PAUSE = 1000; // ms without a key after which a note is sent

const isUnfinished = ({ status, unreadable }) => status !== "done" && !unreadable;

export class Workbench {
  constructor(session) {
    this.session = session;
    this.findingNames = session.findings.map(({ name }) => name);
    this.regionNames = session.regions.map(({ name }) => name);
    const labelled = [...session.findings, ...session.regions];
    this.labels = Object.fromEntries(labelled.map(({ name, label }) => [name, label]));
    this.settings = loadSettings();
    this.view = new View();
    this.timings = {};
    this.annotator = null;
    this.images = [];
    this.index = -1;
    this.picked = null;
    this.message = { text: "", isError: false };
    this.listeners = [];
    this.overviews = new Overviews();
    this.turn = 0;
    this.openedAt = null;
    this.queue = new Queue(
      (edit) => this.send(edit),
      (answer, edit) => this.answered(answer, edit),
      (error, edit) => this.refused(error, edit),
      () => this.follow(),
    );
    this.proposals = new Proposals(this);
    this.clear();
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  say(text, { isError = false } = {}) {
    this.message = { text, isError };
    this.changed();
  }

  // --- images ---------------------------------------------------------------------------------

  clear() {
    this.photograph?.close();
    Object.assign(this, { image: null, photograph: null, shapes: null, problem: null });
    Object.assign(this, { held: NOTHING, reading: EMPTY, draft: null, again: [] });
    Object.assign(this, { hover: null, drag: null });
    this.proposals.clear();
  }

  /** Takes an annotator, whose images are listed, and opens one. */
  async begin(annotator, id) {
    this.images = await request(`api/annotators/${annotator.id}/images`);
    this.annotator = annotator;
    const wanted = this.images.findIndex((image) => image.id === id);
    const first = this.images.findIndex(isUnfinished);
    await this.open(wanted >= 0 ? wanted : Math.max(first, 0));
  }

  /** Opens an image once everything of the one before is saved; `before` is said first. */
  async open(index, before = "") {
    const turn = (this.turn += 1);
    do await this.settled();
    while (this.pending);
    const listed = this.images[index];
    if (!listed || turn !== this.turn) return;
    this.clear();
    this.index = index;
    delete document.documentElement.dataset.openMs;
    const started = performance.now();
    this.say(`${before}${listed.name}, ${this.position}`);
    try {
      const opened = await request(imagePath(this.annotator.id, listed.id));
      const overview = await this.overviews.get(opened.image);
      if (turn !== this.turn) return;
      this.image = opened.image;
      this.photograph = new Photograph(opened.image, overview, () => this.changed());
      this.view.show(opened.image.width, opened.image.height);
      this.openedAt = started;
      this.take(opened);
      const next = this.images[index + 1];
      const failed = (error) => this.noteUnreadable(next, error);
      if (next) this.overviews.prefetch(this.annotator.id, next.id, failed);
    } catch (error) {
      this.noteUnreadable(listed, error);
      if (turn !== this.turn) return;
      this.problem = error.message;
      if (error.isTemporary) setTimeout(() => turn === this.turn && this.open(index), RETRY);
    }
    this.changed();
  }

  /** What the server cannot open counts for nothing from then on. */
  noteUnreadable(listed, error) {
    if (!error.body?.unreadable) return;
    listed.unreadable = true;
    this.changed();
  }

  /** The images that can be opened. */
  get readable() {
    return this.images.filter((image) => !image.unreadable);
  }

  get done() {
    return this.readable.filter((image) => image.status === "done").length;
  }

  /** Which of the images that can be opened is shown. */
  get position() {
    const { readable } = this;
    const place = readable.indexOf(this.images[this.index]);
    return place < 0 ? "cannot be opened" : `${place + 1} of ${readable.length}`;
  }

  step(by) {
    const index = this.index + by;
    if (this.images[index]) return this.open(index);
    return this.say(by > 0 ? "This is the last image." : "This is the first image.");
  }

  nextUnfinished(before = "") {
    const { images, index } = this;
    const order = images.map((_, i) => (index + 1 + i) % images.length);
    const next = order.find((i) => isUnfinished(images[i]));
    if (next === undefined) return this.say(this.allFinished);
    if (next === index) return this.say("All other images are finished.");
    return this.open(next, before);
  }

  /** What is said once all images are finished; nothing before. */
  get allFinished() {
    const { length } = this.readable;
    return length && this.done === length ? `All ${length} images are finished.` : "";
  }

  /** Marks the image as finished and goes on; stays where the server says that something lacks. */
  async finish() {
    const name = this.image?.name;
    if (await this.edit({ kind: "done", done: true })) {
      await this.nextUnfinished(`${name} finished, saved; now `);
    }
  }

  // --- edits ----------------------------------------------------------------------------------

  /** Sends an edit once those before it are saved. Resolves to whether it was taken. */
  async edit(edit) {
    if (!this.image) return false;
    if (edit.kind !== "note") this.sendNote();
    return this.queue.push(edit);
  }

  send(edit) {
    // Of the state that is on the disk by then, and of one name: the same with each attempt
    edit.state ??= this.held.state;
    edit.id ??= crypto.randomUUID();
    const { id, version } = this.image;
    const path = `${imagePath(this.annotator.id, id)}/edits?version=${version}`;
    return request(path, { body: edit });
  }

  answered(answer, edit) {
    const [before, after] = [this.held.reading, answer.reading];
    this.take(answer);
    this.say(`${described(edit, this.labels)}, saved${consequence(edit, before, after)}`);
  }

  /** Looks whether another window has changed the reading, when this one is turned to again. */
  async refresh() {
    if (!this.image || this.pending) return;
    const { turn } = this;
    const found = await request(imagePath(this.annotator.id, this.image.id)).catch(() => null);
    if (!found || turn !== this.turn || this.pending || found.state === this.held.state) return;
    this.take(found);
    this.say("Changed in another window; this is what holds now.");
  }

  async refused(error, edit) {
    const current = error.body.current;
    // What waits was meant for what is shown, which does not hold; a note is what was typed
    if (current) {
      const dropped = [edit, ...this.queue.clear()];
      this.draft ??= dropped.findLast(({ kind }) => kind === "note")?.note ?? null;
    }
    const path = imagePath(this.annotator.id, this.image.id);
    try {
      const found = current ?? (await this.queue.persist(() => request(path)));
      // A photograph that was replaced while it was shown: nothing of it is taken over
      if (found.image && found.image.version !== this.image.version) this.problem = error.message;
      else this.take(found);
    } catch (second) {
      this.problem = second.message;
    }
    const kept = current && this.draft !== null ? " Your note is kept, and not saved yet." : "";
    const { name } = this.images[this.index];
    const text = error.message.startsWith(name) ? error.message : capital(error.message);
    return this.say(`${text}${kept}`, { isError: true });
  }

  /** Takes what the server holds. */
  take(held) {
    this.held = held;
    this.shapes = held.regions && new Shapes(held.regions);
    this.images[this.index].unreadable = false;
    this.images[this.index].status = held.reading.done ? "done" : held.state ? "begun" : "new";
    this.follow();
    this.proposals.ask();
  }

  /** What the server holds and, on top, the edits that wait. */
  follow() {
    this.reading = this.queue.edits.reduce(applied, this.held.reading);
    this.changed();
  }

  // --- what the annotator does ----------------------------------------------------------------

  /** The point that the next click places; null where both are set, or nobody asks for one. */
  get placing() {
    if (!this.image) return null;
    if (this.again.length) return this.again[0];
    if (this.reading.done && !this.needsPoints) return null;
    return POINTS.find((name) => !this.reading[name]) ?? null;
  }

  /** Whether points are more than optional: regions follow from them. */
  get needsPoints() {
    return !this.reading.normal && !this.reading.ungradable;
  }

  /** Whether what is marked would be seen; says so where it would not. */
  marksAreShown() {
    if (!this.settings.marks) this.say("Marks are hidden: v shows them.", { isError: true });
    return this.settings.marks;
  }

  placeAgain(points) {
    this.again = points;
    const keeps = this.reading[points[0]] ? "keeps it where it is" : "leaves it out";
    this.say(`Click the ${POINT_LABELS[points[0]]}; Esc ${keeps}.`);
  }

  place(at) {
    const point = this.placing;
    this.again = this.again.slice(1);
    this.edit({ kind: "point", point, at });
  }

  pick(finding) {
    this.picked = finding;
    this.changed();
  }

  pickBeside(by) {
    const count = this.findingNames.length;
    const index = this.findingNames.indexOf(this.picked);
    const next = index < 0 ? (by > 0 ? 0 : count - 1) : (index + by + count) % count;
    this.pick(this.findingNames[next]);
  }

  toggleRegion(region) {
    const finding = this.picked;
    if (!finding) return this.say("Pick a finding first, then its regions.", { isError: true });
    if (!this.reading.disc || !this.reading.fovea) {
      const text = "Set the optic disc and the fovea first: regions follow from them.";
      return this.say(text, { isError: true });
    }
    const marked = !regionsOf(this.reading, finding).includes(region);
    return this.edit({ kind: "region", finding, region, marked });
  }

  toggleNormal() {
    return this.edit({ kind: "normal", normal: !this.reading.normal });
  }

  toggleUngradable() {
    return this.edit({ kind: "ungradable", ungradable: !this.reading.ungradable });
  }

  undo() {
    return this.stepBack("undo");
  }

  redo() {
    return this.stepBack("redo");
  }

  stepBack(kind) {
    // What waits can be undone as soon as it is saved
    if (!this.held[kind] && !this.pending) return this.say(`Nothing to ${kind}.`);
    return this.edit({ kind });
  }

  // --- notes ----------------------------------------------------------------------------------

  writeNote(text) {
    this.draft = text;
    clearTimeout(this.noteClock);
    this.noteClock = setTimeout(() => this.sendNote(), NOTE_PAUSE);
    this.changed();
  }

  sendNote() {
    clearTimeout(this.noteClock);
    const note = this.draft;
    this.draft = null;
    if (note !== null && note !== this.reading.note) this.edit({ kind: "note", note });
  }

  /** How many edits are not on the disk. */
  get pending() {
    const isWritten = this.draft !== null && this.draft !== this.reading.note;
    return this.queue.length + Number(isWritten);
  }

  /** Resolves when everything is saved. */
  settled() {
    this.sendNote();
    return this.queue.idle();
  }

  // --- display --------------------------------------------------------------------------------

  set(settings) {
    Object.assign(this.settings, settings);
    for (const [name, [low, high]] of Object.entries(LIMITS)) {
      this.settings[name] = Math.min(Math.max(this.settings[name], low), high);
    }
    saveSettings(this.settings);
    this.changed();
  }

  toggleMap() {
    const { findings } = this.session.proposals;
    if (!findings.length) return this.say("There is no map: --run gives trained networks.");
    return this.toggle("map");
  }

  toggle(name) {
    this.set({ [name]: !this.settings[name] });
  }

  neutral() {
    this.set(NEUTRAL);
  }

  /** Changes the view by a function of it. */
  look(change) {
    if (!this.image) return;
    change(this.view);
    this.changed();
  }
}
