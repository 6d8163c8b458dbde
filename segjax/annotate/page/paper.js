/** Where things are drawn: a canvas, with the coordinates of the screen and of the photograph. */

export class Paper {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {import("./view.js").View} view
   * @param {number} unit css pixels of a rem, which lines and text are measured by
   */
  constructor(canvas, view, unit) {
    Object.assign(this, { canvas, view, unit });
    this.context = canvas.getContext("2d", { alpha: false });
    // By the sizes, not by the pixel ratio: the canvas has whole pixels
    this.ratioX = canvas.width / view.width;
    this.ratioY = canvas.height / view.height;
  }

  /** Sets the context to css pixels. */
  screen() {
    this.context.setTransform(this.ratioX, 0, 0, this.ratioY, 0, 0);
  }

  /** Sets the context to pixels of the photograph. */
  photograph() {
    const { scale } = this.view;
    const [x, y] = this.view.toCss(0, 0);
    const { ratioX, ratioY } = this;
    this.context.setTransform(ratioX * scale, 0, 0, ratioY * scale, ratioX * x, ratioY * y);
  }

  /** css pixels as a length in the photograph. */
  css(length) {
    return length / this.view.scale;
  }

  clear() {
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.fillStyle = "#0a0b0d";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }
}
