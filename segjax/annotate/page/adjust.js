/**
 * Brightness, contrast and the green channel, by a look-up table on the pixels of a picture.
 *
 * @typedef {{brightness: number, contrast: number, green: boolean}} Adjustment -100 … 100 each
 */

export const NEUTRAL = { brightness: 0, contrast: 0, green: false };

const kept = new WeakMap(); // picture -> {key, canvas}
const scratch = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** @param {Adjustment} to */
export const isNeutral = (to) => !to.brightness && !to.contrast && !to.green;

/** What each of 256 values becomes: contrast about the middle, then brightness. */
export function table({ brightness, contrast }) {
  const factor = 2 ** (contrast / 50);
  return Uint8ClampedArray.from({ length: 256 }, (_, value) =>
    Math.round((value - 127.5) * factor + 127.5 + brightness * 1.275),
  );
}

/** The adjusted picture where it is at hand; the picture itself where nothing is to be done. */
export function atHand(picture, to) {
  if (isNeutral(to)) return picture;
  const found = kept.get(picture);
  return found?.key === keyOf(to) ? found.canvas : null;
}

/** The adjusted picture, which is kept with the picture. */
export function adjusted(picture, to) {
  const ready = atHand(picture, to);
  if (ready) return ready;
  const { width, height } = picture;
  const canvas = kept.get(picture)?.canvas ?? document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d", { alpha: false }).putImageData(looked(picture, to), 0, 0);
  kept.set(picture, { key: keyOf(to), canvas });
  return canvas;
}

function looked(picture, to) {
  const { width, height } = picture;
  Object.assign(scratch.canvas, { width, height });
  scratch.drawImage(picture, 0, 0);
  const data = scratch.getImageData(0, 0, width, height);
  const values = data.data;
  const values256 = table(to);
  for (let i = 0; i < values.length; i += 4) {
    const green = values256[values[i + 1]];
    values[i] = to.green ? green : values256[values[i]];
    values[i + 1] = green;
    values[i + 2] = to.green ? green : values256[values[i + 2]];
  }
  return data;
}

const keyOf = ({ brightness, contrast, green }) => `${brightness} ${contrast} ${green}`;
