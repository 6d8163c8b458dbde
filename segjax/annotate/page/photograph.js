/** The picture of one photograph: the overview, and over it the tiles that a zoom asks for. */

import { adjusted, atHand } from "./adjust.js";
import { Tiles } from "./tiles.js";

const SHARP = 2; // css pixels per pixel from which on pixels are seen as squares
const BUDGET = 12; // ms for adjusting tiles in one redraw; the others follow in the next

export class Photograph {
  /**
   * @param {object} image as the server describes it
   * @param {ImageBitmap} overview
   * @param {() => void} changed asks for a redraw
   */
  constructor(image, overview, changed) {
    Object.assign(this, { image, overview, changed });
    this.tiles = new Tiles(image, changed);
  }

  /** The level whose pixels are as fine as the screen's; null where the overview is. */
  levelFor(scale) {
    if (scale <= this.overview.width / this.image.width) return null;
    const level = Math.floor(Math.log2(1 / scale));
    return Math.min(Math.max(level, 0), this.image.levels - 1);
  }

  /**
   * Draws in the photograph's coordinates, which the context is set to.
   * @param {CanvasRenderingContext2D} context
   * @param {import("./view.js").View} view
   * @param {number} ratio screen pixels per css pixel
   * @param {import("./adjust.js").Adjustment} adjustment
   */
  draw(context, view, ratio, adjustment) {
    const { width, height } = this.image;
    context.imageSmoothingEnabled = view.scale <= SHARP;
    const level = this.levelFor(view.scale * ratio);
    const shown = level === null ? [] : this.tiles.shown(level, view);
    const ready = shown.map(({ key, box }) => ({ bitmap: this.tiles.get(key), box }));
    // Below the tiles, too: it fills the hairlines between their smoothed edges
    context.drawImage(adjusted(this.overview, adjustment), 0, 0, width, height);
    const end = performance.now() + BUDGET;
    for (const { bitmap, box } of ready) {
      if (!bitmap) continue;
      const picture =
        atHand(bitmap, adjustment) ?? (performance.now() < end && adjusted(bitmap, adjustment));
      if (picture) context.drawImage(picture, ...box);
      else this.changed();
    }
    this.tiles.want(shown.map(({ key }) => key));
  }

  close() {
    this.tiles.close();
  }
}
