/** Copying text, and buttons that do it and say whether it worked. */

import { make } from "./dom.js";

const FEEDBACK = 1_500; // milliseconds

/** False without permission, or outside a secure context. @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * A button that copies a text.
 * @param {string} name tag and classes, as for `make`
 * @param {string} label
 * @param {() => string} text
 */
export function copyButton(name, label, text) {
  const button = make(name, { type: "button", onclick: copy }, label);
  async function copy() {
    button.textContent = (await copyText(text())) ? "Copied" : "Not copied";
    setTimeout(() => {
      button.textContent = label;
    }, FEEDBACK);
  }
  return button;
}
