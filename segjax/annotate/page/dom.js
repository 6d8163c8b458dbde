/** Short ways to find and to make elements. Text goes in as text, never as markup. */

/** @param {string} id */
export const byId = (id) => document.getElementById(id);

/**
 * An element with attributes; `on…` are listeners, true and false set and take away an attribute.
 * @param {string} tag
 * @param {Object<string, any>} attributes
 * @param {...(Node|string)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Sets the text of an element where it differs, so that a screen reader hears changes alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
