/** The panel at the right: which image, what is saved, points, normal, note, done. */

import { byId, setText } from "./dom.js";
import { POINTS, POINT_LABELS } from "./reading.js";
import { capital, eyeOf } from "./words.js";

export class Panel {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.note = byId("note");
    const click = (id, run) => byId(id).addEventListener("click", run);
    click("previous", () => bench.step(-1));
    click("next", () => bench.step(1));
    click("next-unfinished", () => bench.nextUnfinished());
    click("undo", () => bench.undo());
    click("redo", () => bench.redo());
    click("finish", () => bench.finish());
    click("reopen", () => bench.edit({ kind: "done", done: false }));
    for (const point of POINTS) {
      click(`${point}-again`, () => bench.placeAgain([point]));
    }
    byId("normal").addEventListener("change", () => [bench.toggleNormal(), this.render()]);
    byId("ungradable").addEventListener("change", () => [bench.toggleUngradable(), this.render()]);
    this.note.addEventListener("input", () => bench.writeNote(this.note.value));
    this.note.addEventListener("blur", () => bench.sendNote());
    bench.onChange(() => this.render());
  }

  render() {
    this.renderImage();
    this.renderSaving();
    this.renderReading();
    const { text, isError } = this.bench.message;
    setText(byId("message"), text);
    byId("message").classList.toggle("error", isError);
  }

  renderImage() {
    const { bench } = this;
    const { images, index, image } = bench;
    const name = images[index]?.name ?? "";
    setText(byId("image-name"), name);
    byId("image-name").title = name;
    setText(byId("image-size"), image ? `${image.width} × ${image.height} pixels` : "");
    setText(byId("position"), `${bench.position}, ${bench.done} finished`);
    byId("all-done").hidden = !bench.allFinished;
    setText(byId("all-done-text"), bench.allFinished);
    byId("next-unfinished").disabled = Boolean(bench.allFinished);
    byId("previous").disabled = index <= 0;
    byId("next").disabled = index >= images.length - 1;
    byId("opening").hidden = Boolean(image || bench.problem || index < 0);
    setText(byId("opening"), `Opening ${name}…`);
    document.title = name ? `${name} (${bench.position}) – segjax` : "segjax";
  }

  renderSaving() {
    const { pending, queue, held, draft } = this.bench;
    const box = byId("saving");
    const state = queue.trouble ? "trouble" : pending ? "waiting" : "saved";
    box.className = state;
    const at = held.saved && new Date(held.saved).toLocaleTimeString("en-GB");
    const saved = at ? `Saved ${at}` : "Nothing to save yet";
    // A note that was refused waits for the next edit
    const waiting = queue.length || draft === null ? "Saving…" : "Note not saved yet";
    const texts = { trouble: `Not saved: ${pending}`, waiting, saved };
    setText(box.querySelector("span"), texts[state]);
    byId("banner").hidden = !queue.trouble;
    const what = pending === 1 ? "Your last action is" : `Your last ${pending} actions are`;
    const text = `Not saved yet: ${queue.trouble}. ${what} kept here and sent again.`;
    if (queue.trouble) setText(byId("banner"), text);
  }

  renderReading() {
    const { bench } = this;
    const { reading, held, image, placing } = bench;
    for (const point of POINTS) this.renderPoint(point);
    const eye = capital(eyeOf(reading));
    setText(byId("eye"), eye && `${eye}: the disc is ${eye.slice(0, -4).toLowerCase()} of the fovea`);
    const optional = bench.needsPoints || bench.again.length ? "" : ", or leave it out";
    setText(byId("hint"), placing ? `Click the ${POINT_LABELS[placing]}${optional}` : "");
    byId("hint").hidden = !placing;
    byId("normal").checked = reading.normal;
    byId("ungradable").checked = reading.ungradable;
    const note = bench.draft ?? reading.note;
    if (this.note.value !== note) this.note.value = note;
    byId("done-badge").hidden = !reading.done;
    byId("reopen").hidden = !reading.done;
    const next = bench.allFinished ? "All finished" : "Next unfinished";
    setText(byId("finish").firstElementChild, reading.done ? next : "Done & next");
    byId("undo").disabled = !image || (!held.undo && !bench.pending);
    byId("redo").disabled = !image || !held.redo;
    for (const id of ["normal", "ungradable", "note", "reopen"]) byId(id).disabled = !image;
    byId("finish").disabled = !image || (reading.done && Boolean(bench.allFinished));
  }

  renderPoint(point) {
    const { reading, image, placing, needsPoints } = this.bench;
    const at = reading[point];
    const here = placing === point;
    const missing = needsPoints ? "not set" : "not set, optional";
    const place = at ? `set at ${at.map((value) => value.toFixed(0)).join(", ")}` : missing;
    setText(byId(`${point}-state`), here ? "click on the photograph" : place);
    byId(`${point}-row`).classList.toggle("placing", here);
    const again = byId(`${point}-again`);
    again.hidden = !image || here;
    setText(again, at ? "place again" : "place");
  }
}
