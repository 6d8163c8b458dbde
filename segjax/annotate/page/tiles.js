/** Tiles of one photograph: those that are seen are loaded, nearest to the middle first. */

import { picture, picturePath } from "./api.js";

const KEPT = 200;
const AT_ONCE = 6;
const PAUSE = 1000; // ms until a tile that failed is asked for again

export class Tiles {
  /**
   * @param {{id: string, width: number, height: number, tile: number, levels: number}} image
   * @param {() => void} arrived
   */
  constructor(image, arrived) {
    Object.assign(this, { image, arrived });
    this.kept = new Map(); // key -> bitmap, the longest unused first
    this.loading = new Map(); // key -> AbortController
    this.wanted = [];
  }

  /**
   * The tiles of a level that a view shows.
   * @returns {{key: string, box: number[]}[]} box: left, top, width, height in the photograph
   */
  shown(level, view) {
    const { width, height, tile } = this.image;
    const side = tile * 2 ** level;
    const [left, top, right, bottom] = view.seen();
    const found = [];
    for (let row = Math.floor(top / side); row * side < bottom; row += 1) {
      for (let column = Math.floor(left / side); column * side < right; column += 1) {
        const [x, y] = [column * side, row * side];
        const box = [x, y, Math.min(side, width - x), Math.min(side, height - y)];
        const far = Math.hypot(x + side / 2 - view.x, y + side / 2 - view.y);
        found.push({ key: `${level}/${row}/${column}`, box, far });
      }
    }
    return found.sort((a, b) => a.far - b.far);
  }

  get(key) {
    const found = this.kept.get(key);
    if (found) {
      this.kept.delete(key);
      this.kept.set(key, found);
    }
    return found;
  }

  /** Loads what is wanted, in this order, and stops loading the rest. */
  want(keys) {
    this.wanted = keys;
    const wanted = new Set(keys);
    for (const [key, control] of this.loading) if (!wanted.has(key)) control.abort();
    this.load();
  }

  load() {
    for (const key of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      if (!this.kept.has(key) && !this.loading.has(key)) this.fetch(key);
    }
  }

  async fetch(key) {
    const control = new AbortController();
    this.loading.set(key, control);
    try {
      const path = picturePath(this.image, `tiles/${key}`);
      const bitmap = await picture(path, { signal: control.signal });
      this.kept.set(key, bitmap);
      this.drop();
      this.arrived();
    } catch {
      // The overview stands in for it until then
      if (!control.signal.aborted) await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    this.loading.delete(key);
    this.load();
  }

  drop() {
    for (const [key, bitmap] of this.kept) {
      if (this.kept.size <= KEPT) return;
      this.kept.delete(key);
      bitmap.close();
    }
  }

  close() {
    this.want([]);
    for (const bitmap of this.kept.values()) bitmap.close();
    this.kept.clear();
  }
}
