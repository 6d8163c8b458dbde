/**
 * Where the photograph stands in the window: exact mapping, zoom and pan. Pure, in css pixels.
 * `x`, `y` is the point of the photograph in the middle, `scale` css pixels per its pixel.
 */

const LARGEST = 16; // css pixels per pixel of the photograph
const MARGIN = 8; // css pixels around a photograph that is fitted

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export class View {
  width = 1;
  height = 1;
  imageWidth = 1;
  imageHeight = 1;
  scale = 1;
  x = 0.5;
  y = 0.5;

  /** The scale at which the whole photograph is seen. */
  get fitScale() {
    const [width, height] = [this.width, this.height].map((edge) => Math.max(edge - 2 * MARGIN, 1));
    return Math.min(width / this.imageWidth, height / this.imageHeight);
  }

  /** A point of the photograph in css pixels from the window's corner. */
  toCss(x, y) {
    return [
      (x - this.x) * this.scale + this.width / 2,
      (y - this.y) * this.scale + this.height / 2,
    ];
  }

  /** The other way. */
  toImage(cssX, cssY) {
    return [
      (cssX - this.width / 2) / this.scale + this.x,
      (cssY - this.height / 2) / this.scale + this.y,
    ];
  }

  /** Whether a point lies on the photograph. */
  holds(x, y) {
    return x >= 0 && y >= 0 && x <= this.imageWidth && y <= this.imageHeight;
  }

  /** Takes a photograph of this size, fitted. */
  show(imageWidth, imageHeight) {
    Object.assign(this, { imageWidth, imageHeight });
    this.fit();
  }

  fit() {
    this.scale = this.fitScale;
    this.x = this.imageWidth / 2;
    this.y = this.imageHeight / 2;
  }

  /** The window's size changes: the middle stays, and what was fitted is fitted again. */
  resize(width, height) {
    const fitted = this.scale <= this.fitScale;
    Object.assign(this, { width, height });
    if (fitted || this.scale < this.fitScale) this.fit();
  }

  /** Zooms by a factor; the point under (cssX, cssY) stays there. */
  zoom(factor, cssX = this.width / 2, cssY = this.height / 2) {
    const [x, y] = this.toImage(cssX, cssY);
    this.scale = clamp(this.scale * factor, this.fitScale, Math.max(LARGEST, this.fitScale));
    this.moveTo(
      x - (cssX - this.width / 2) / this.scale,
      y - (cssY - this.height / 2) / this.scale,
    );
  }

  /** Moves the photograph by css pixels. */
  pan(cssX, cssY) {
    this.moveTo(this.x - cssX / this.scale, this.y - cssY / this.scale);
  }

  moveTo(x, y) {
    if (this.scale <= this.fitScale) {
      this.fit();
      return;
    }
    this.x = clamp(x, 0, this.imageWidth);
    this.y = clamp(y, 0, this.imageHeight);
  }

  /** What is seen of the photograph: left, top, right, bottom; empty where right <= left. */
  seen() {
    const [left, top] = this.toImage(0, 0);
    const [right, bottom] = this.toImage(this.width, this.height);
    return [
      Math.max(left, 0),
      Math.max(top, 0),
      Math.min(right, this.imageWidth),
      Math.min(bottom, this.imageHeight),
    ];
  }
}
