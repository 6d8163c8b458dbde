/** The list of findings, one of which is picked, and the regions of the picked one. */

import { byId, make, setText } from "./dom.js";
import { paintChip } from "./palette.js";
import { regionsOf, touched } from "./reading.js";

const FILTER_FROM = 10; // findings from which on there is a filter
const WITH_KEYS = 9;

export class FindingsPanel {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.filter = byId("filter");
    this.rows = bench.session.findings.map((finding, index) => this.findingRow(finding, index));
    this.boxes = bench.session.regions.map((region) => this.regionBox(region));
    byId("finding-list").append(...this.rows.map(({ row }) => row));
    byId("region-list").append(...this.boxes.map(({ row }) => row));
    byId("filter-field").hidden = this.rows.length < FILTER_FROM;
    this.filter.addEventListener("input", () => this.applyFilter());
    this.filter.addEventListener("keydown", (event) => this.filterKey(event));
    bench.onChange(() => this.render());
  }

  findingRow({ name, label }, index) {
    const radio = make("input", { type: "radio", name: "finding", value: name });
    radio.addEventListener("change", () => this.bench.pick(name));
    const chip = make("span", { class: "chip" });
    paintChip(chip, index);
    const count = make("span", { class: "count" });
    const text = make("span", { class: "text" }, label);
    const row = make("label", { class: "finding" }, radio, chip, text, count);
    if (index < WITH_KEYS) radio.setAttribute("aria-keyshortcuts", String(index + 1));
    return { name, label, radio, count, row };
  }

  regionBox({ name, label, key }) {
    const box = make("input", { type: "checkbox", "aria-keyshortcuts": key });
    box.addEventListener("change", () => {
      this.bench.toggleRegion(name);
      this.render();
    });
    const text = make("span", {}, label);
    const row = make("label", { class: "region" }, box, text, make("kbd", {}, key));
    return { name, box, row };
  }

  /** Enter picks the first that the filter leaves. */
  filterKey(event) {
    if (event.key === "Escape") this.clearFilter();
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = this.rows.find(({ row }) => !row.hidden);
    if (!first) return;
    this.clearFilter();
    this.filter.blur();
    this.bench.pick(first.name);
  }

  clearFilter() {
    this.filter.value = "";
    this.applyFilter();
  }

  applyFilter() {
    const wanted = this.filter.value.trim().toLowerCase();
    for (const { row, label } of this.rows) row.hidden = !label.toLowerCase().includes(wanted);
  }

  render() {
    const { reading, picked, labels, queue, image } = this.bench;
    for (const { name, radio, count, row } of this.rows) {
      const regions = regionsOf(reading, name).length;
      setText(count, regions ? `${regions} region${regions > 1 ? "s" : ""}` : "");
      row.classList.toggle("marked", regions > 0);
      if (name === picked && !radio.checked) {
        // What is marked has to be seen
        if (row.hidden) this.clearFilter();
        row.scrollIntoView({ block: "nearest" });
      }
      radio.checked = name === picked;
    }
    const ready = Boolean(image && picked && reading.disc && reading.fovea);
    const saving = touched(queue.edits);
    for (const { name, box, row } of this.boxes) {
      box.checked = Boolean(picked && regionsOf(reading, picked).includes(name));
      box.disabled = !ready;
      row.classList.toggle("saving", saving.has(`${picked}/${name}`));
    }
    setText(byId("regions-title"), picked ? `Regions of ${labels[picked]}` : "Regions");
    const missing = picked ? "set disc and fovea first" : "pick a finding first";
    setText(byId("regions-hint"), ready || !image ? "" : missing);
  }
}
