/** The list of all images with their status, to jump to one. */

import { byId, make, setText } from "./dom.js";

const STATUS = { new: "new", begun: "begun", done: "finished" };
const statusOf = ({ status, unreadable }) => (unreadable ? "cannot be opened" : STATUS[status]);

export class ImageList {
  /** @param {import("./workbench.js").Workbench} bench */
  constructor(bench) {
    this.bench = bench;
    this.dialog = byId("images");
    this.filter = byId("image-filter");
    this.list = byId("image-list");
    this.filter.addEventListener("input", () => this.fill());
    this.dialog.addEventListener("keydown", (event) => this.move(event));
    byId("images-close").addEventListener("click", () => this.dialog.close());
  }

  open() {
    this.filter.value = "";
    this.fill();
    this.dialog.showModal();
    const current = this.list.querySelector("[aria-current]");
    current?.focus();
    current?.scrollIntoView({ block: "center" });
  }

  /** Arrows go from row to row, from the filter to the first. */
  move(event) {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    const rows = [...this.list.querySelectorAll("button")];
    const next = rows[rows.indexOf(document.activeElement) + by] ?? (by < 0 ? this.filter : null);
    if (next) event.preventDefault();
    next?.focus();
  }

  fill() {
    const { images, index } = this.bench;
    const wanted = this.filter.value.trim().toLowerCase();
    const numbered = images.map((image, i) => ({ image, i }));
    const found = numbered.filter(({ image }) =>
      `${image.name} ${statusOf(image)}`.toLowerCase().includes(wanted),
    );
    this.list.replaceChildren(...found.map(({ image, i }) => this.rowOf(image, i, i === index)));
    setText(byId("image-count"), `${found.length} of ${images.length}`);
  }

  rowOf(image, index, isShown) {
    const button = make(
      "button",
      { type: "button", class: `image ${image.unreadable ? "unreadable" : image.status}` },
      make("span", { class: "number" }, String(index + 1)),
      make("span", { class: "name" }, image.name),
      make("span", { class: "status" }, statusOf(image)),
    );
    if (isShown) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => {
      this.dialog.close();
      this.bench.open(index);
    });
    return make("li", {}, button);
  }
}
