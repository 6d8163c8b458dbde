/** The colour and the number of each finding: colour never stands alone. */

// Okabe and Ito (2008), without black, which a photograph's rim is
const COLOURS = ["#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"];
const ON_DARK = new Set(["#0072B2"]); // those that take white text

/**
 * @param {number} index of the finding in the list
 * @returns {{colour: string, text: string, number: string}}
 */
export function look(index) {
  const colour = COLOURS[index % COLOURS.length];
  return { colour, text: ON_DARK.has(colour) ? "#fff" : "#000", number: String(index + 1) };
}

/** Sets the colours of an element that shows a finding's number. */
export function paintChip(element, index) {
  const { colour, text, number } = look(index);
  element.style.backgroundColor = colour;
  element.style.color = text;
  element.textContent = number;
}
