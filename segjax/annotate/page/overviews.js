/** Pictures of whole photographs: that of the next one is loaded before it is asked for. */

import { imagePath, picture, picturePath, request } from "./api.js";

const KEPT = 3;

export class Overviews {
  kept = new Map(); // path -> promise of a bitmap, the longest unused first

  /** @param {object} image @returns {Promise<ImageBitmap>} */
  get(image) {
    const path = picturePath(image, "overview");
    const found = this.kept.get(path) ?? picture(path);
    this.kept.delete(path);
    this.kept.set(path, found);
    found.catch(() => this.kept.delete(path));
    for (const old of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(old);
    }
    return found;
  }

  /**
   * Loads one that will presumably be asked for, once there is nothing else to do; `failed` hears
   * what is wrong with it.
   */
  prefetch(annotator, id, failed) {
    const load = () =>
      request(imagePath(annotator, id))
        .then(({ image }) => this.get(image))
        .catch(failed);
    // Safari has no idle callbacks
    if (window.requestIdleCallback) requestIdleCallback(load);
    else setTimeout(load, 300);
  }
}
