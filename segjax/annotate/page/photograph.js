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
    const tiles = shown.map(({ key, box }) => ({ tile: this.tiles.get(key), box }));
    const overview = adjusted(this.overview, adjustment);
    if (shown.length && tiles.every(({ tile }) => tile && atHand(tile, adjustment))) {
      // Smoothed edges leave hairlines between tiles
      const line = paper.css(2 / paper.ratioX);
      for (const { box: [x, y, width, height] } of tiles) {
        this.drawPart(context, overview, [x - line / 2, y, line, height]);
        this.drawPart(context, overview, [x, y - line / 2, width, line]);
      }
    } else {
      context.drawImage(overview, 0, 0, this.image.width, this.image.height);
    }
    const end = performance.now() + BUDGET;
    for (const { tile, box } of tiles) {
      if (!tile) continue;
      const isInTime = performance.now() < end;
      const picture = isInTime ? adjusted(tile, adjustment) : atHand(tile, adjustment);
      if (picture) context.drawImage(picture, ...box);
      else this.changed();
    }
  }

  /** Draws what the overview shows of a box of the photograph. */
  drawPart(context, overview, [x, y, width, height]) {
    const [perX, perY] = [overview.width / this.image.width, overview.height / this.image.height];
    const part = [x * perX, y * perY, width * perX, height * perY];
    context.drawImage(overview, ...part, x, y, width, height);
  }

  close() {
    this.tiles.close();
  }
}
