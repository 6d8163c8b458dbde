/** Pictures of whole photographs: that of the next one is loaded before it is asked for. */

import { picture, picturesPath } from "./api.js";

const KEPT = 3;

export class Overviews {
  kept = new Map(); // id -> promise of a bitmap, the longest unused first

  /** @returns {Promise<ImageBitmap>} */
  get(id) {
    const found = this.kept.get(id) ?? picture(`${picturesPath(id)}/overview`);
    this.kept.delete(id);
    this.kept.set(id, found);
    found.catch(() => this.kept.delete(id));
    for (const old of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(old);
    }
    return found;
  }

  /** Loads one that will presumably be asked for, once there is nothing else to do. */
  prefetch(id) {
    const load = () => this.get(id).catch(() => {});
    // Safari has no idle callbacks
    if (window.requestIdleCallback) requestIdleCallback(load);
    else setTimeout(load, 300);
  }
}
