/** Puts the page together. */

import { request } from "./api.js";
import { Display } from "./display.js";
import { byId, setText } from "./dom.js";
import { FindingsPanel } from "./findings_panel.js";
import { Help } from "./help.js";
import { ImageList } from "./image_list.js";
import { bindings, listen } from "./keys.js";
import { Panel } from "./panel.js";
import { Pointer } from "./pointer.js";
import { ProposalCards } from "./proposal_cards.js";
import { annotatorOfTab, keepAnnotator } from "./settings.js";
import { Stage } from "./stage.js";
import { known, welcome } from "./welcome.js";
import { Workbench } from "./workbench.js";

const imageOfAddress = () => location.hash.slice(1);

async function start() {
  const session = await request("api/session");
  const bench = new Workbench(session);
  const stage = new Stage(bench);
  const [help, images] = [new Help(bench), new ImageList(bench)];
  for (const Part of [Panel, FindingsPanel, ProposalCards, Display]) new Part(bench);
  new Pointer(bench, stage);
  const groups = bindings(bench, { help: () => help.open(), images: () => images.open() });
  help.fill(groups);
  listen(bench, groups);
  byId("help-open").addEventListener("click", () => help.open());
  byId("images-open").addEventListener("click", () => images.open());
  byId("change").addEventListener("click", () => changeAnnotator(bench));
  keepAddress(bench);
  warnOfLoss(bench);
  document.addEventListener("visibilitychange", () => document.hidden || bench.refresh());
  window.addEventListener("focus", () => bench.refresh());
  releaseFocus();
  window.segjax = forTests(bench, stage);
  const name = annotatorOfTab();
  const annotator = (name && (await known(name))) || (await welcome(session));
  await enter(bench, annotator, imageOfAddress());
}

async function enter(bench, annotator, image) {
  setText(byId("annotator"), annotator.name);
  byId("workbench").hidden = false;
  await bench.begin(annotator, image);
}

async function changeAnnotator(bench) {
  await bench.settled();
  keepAnnotator(null);
  bench.clear();
  Object.assign(bench, { annotator: null, images: [], index: -1 });
  bench.changed();
  byId("workbench").hidden = true;
  await enter(bench, await welcome(bench.session), null);
}

/** The address names the image, so that a reload shows it again. */
function keepAddress(bench) {
  bench.onChange(() => {
    const id = bench.images[bench.index]?.id;
    if (id && id !== imageOfAddress()) history.replaceState(null, "", `#${id}`);
  });
  window.addEventListener("hashchange", () => {
    const index = bench.images.findIndex(({ id }) => id === imageOfAddress());
    if (index >= 0 && index !== bench.index) bench.open(index);
  });
}

function warnOfLoss(bench) {
  window.addEventListener("beforeunload", (event) => {
    if (!bench.pending) return;
    bench.sendNote();
    event.preventDefault();
    event.returnValue = true;
  });
}

/** After a click on a control the keys are the page's again; those who tab to it keep it. */
function releaseFocus() {
  let pressed = false;
  document.addEventListener("pointerdown", () => (pressed = true), true);
  document.addEventListener("keydown", () => (pressed = false), true);
  document.addEventListener("click", ({ target }) => {
    const active = document.activeElement;
    if (!pressed || target.closest("dialog, #welcome")) return;
    if (active?.matches("button, input:not([type=text], [type=search])")) active.blur();
  });
}

/** What tests and measurements ask the page. */
function forTests(bench, stage) {
  const corner = () => stage.canvas.getBoundingClientRect();
  return {
    view: bench.view,
    timings: bench.timings,
    pending: () => bench.pending,
    reading: () => structuredClone(bench.reading),
    redraw: () => stage.redraw(),
    regionAt: (x, y) => bench.shapes?.at(x, y) ?? null,
    imageToClient(x, y) {
      const [cssX, cssY] = bench.view.toCss(x, y);
      return [cssX + corner().left, cssY + corner().top];
    },
    clientToImage: (x, y) => bench.view.toImage(x - corner().left, y - corner().top),
  };
}

start().catch((error) => {
  byId("failure").hidden = false;
  setText(byId("failure"), `The page cannot start: ${error.message}. Reload it.`);
});
