/** The page of progress and agreement. */

import { request } from "./api.js";
import { byId, make, setText } from "./dom.js";

/** A value with what it is the value of; a dash where it is not defined. */
function cell(value, of) {
  const text = value === null ? "—" : value.toFixed(2);
  const note = value === null ? [] : [" ", make("span", { class: "quiet" }, `(${of})`)];
  return make("td", { class: "number" }, text, ...note);
}

const count = (number, one) => `${number} ${one}${number === 1 ? "" : "s"}`;
const name = (text) => make("th", { scope: "row" }, text);
const number = (value) => make("td", { class: "number" }, String(value));

function annotatorRow({ name: who, done, begun, ungradable }, images) {
  const share = images ? Math.round((100 * done) / images) : 0;
  const bar = make("progress", { max: images || 1, value: done, "aria-label": `${who}: ${share} %` });
  const cells = [done, ungradable, begun, images].map(number);
  return make("tr", {}, name(who), ...cells, make("td", {}, bar, ` ${share} %`));
}

function findingRow(found) {
  const annotators = count(found.fleiss_annotators, "annotator");
  const fleiss = `${annotators}, ${count(found.fleiss_images, "image")}`;
  return make(
    "tr",
    {},
    name(found.label),
    number(found.present),
    cell(found.cohen_mean, `mean of ${count(found.cohen_pairs, "pair")}`),
    cell(found.fleiss, fleiss),
    cell(found.jaccard, count(found.jaccard_pairs, "pair")),
  );
}

function pairRow({ a, b, images, kappa }) {
  const value = number(kappa === null ? "—" : kappa.toFixed(2));
  return make("tr", {}, name(a), name(b), number(images), value);
}

function showPairs(findings) {
  const pairs = findings.find((each) => each.name === byId("finding").value)?.cohen ?? [];
  byId("pairs").replaceChildren(...pairs.map(pairRow));
  byId("pairs-none").hidden = pairs.length > 0;
}

function show({ images, annotators, findings, missing, unreadable }) {
  byId("annotators").replaceChildren(...annotators.map((each) => annotatorRow(each, images)));
  byId("findings").replaceChildren(...findings.map(findingRow));
  const select = byId("finding");
  const chosen = select.value;
  const options = findings.map((each) => make("option", { value: each.name }, each.label));
  select.replaceChildren(...options);
  if (findings.some((each) => each.name === chosen)) select.value = chosen;
  select.onchange = () => showPairs(findings);
  showPairs(findings);
  byId("unreadable").hidden = !unreadable.length;
  setText(byId("unreadable"), `Cannot be opened, and not counted: ${unreadable.join(", ")}`);
  byId("missing").hidden = !missing.length;
  setText(byId("missing"), `Annotated, and no longer in the folder: ${missing.join(", ")}`);
}

async function refresh() {
  try {
    show(await request("api/progress"));
    setText(byId("status"), `As of ${new Date().toLocaleTimeString("en-GB")}`);
  } catch (error) {
    setText(byId("status"), `Not read: ${error.message}`);
  }
}

byId("refresh").addEventListener("click", refresh);
refresh();
