/** The picture of one photograph: the overview, and over it the tiles that a zoom asks for. */

import { adjusted, atHand } from "./adjust.js";
import { Paper } from "./paper.js";
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
    Object.assign(this, { image, overview });
    this.changed = () => {
      this.drawn = null;
      changed();
    };
    this.tiles = new Tiles(image, this.changed);
    // Drawn there, and from there to the screen: marks change more often than what they lie on
    this.layer = document.createElement("canvas");
    this.drawn = null; // what the layer shows
  }

  /** The level whose pixels are as fine as the screen's; null where the overview is. */
  levelFor(scale) {
    if (scale <= this.overview.width / this.image.width) return null;
    const level = Math.floor(Math.log2(1 / scale));
    return Math.min(Math.max(level, 0), this.image.levels - 1);
  }

  /**
   * Covers the whole canvas.
   * @param {Paper} paper
   * @param {import("./adjust.js").Adjustment} adjustment
   */
  draw(paper, adjustment) {
    const { canvas, view, unit } = paper;
    const { brightness, contrast, green } = adjustment;
    const size = { width: canvas.width, height: canvas.height };
    const wanted = JSON.stringify([size, view, brightness, contrast, green]);
    if (wanted !== this.drawn) {
      this.drawn = wanted;
      Object.assign(this.layer, size);
      this.drawPixels(new Paper(this.layer, view, unit), adjustment);
    }
    paper.context.setTransform(1, 0, 0, 1, 0, 0);
    paper.context.drawImage(this.layer, 0, 0);
  }

  drawPixels(paper, adjustment) {
    const { context, view } = paper;
    paper.clear();
    paper.photograph();
    context.imageSmoothingEnabled = view.scale <= SHARP;
    const level = this.levelFor(view.scale * paper.ratioX);
    const shown = level === null ? [] : this.tiles.shown(level, view);
    this.tiles.want(shown.map(({ key }) => key));
    // Below the tiles, too: it fills the hairlines between their smoothed edges
    const { width, height } = this.image;
    context.drawImage(adjusted(this.overview, adjustment), 0, 0, width, height);
    const end = performance.now() + BUDGET;
    for (const { key, box } of shown) {
      const tile = this.tiles.get(key);
      if (!tile) continue;
      const isInTime = performance.now() < end;
      const picture = isInTime ? adjusted(tile, adjustment) : atHand(tile, adjustment);
      if (picture) context.drawImage(picture, ...box);
      else this.changed();
    }
  }

  close() {
    this.tiles.close();
  }
}
