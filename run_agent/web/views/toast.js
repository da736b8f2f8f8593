/** A short text at the top of the page, which disappears by itself. */

import { byId } from "../lib/dom.js";

const DURATION = 8_000; // milliseconds

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {string} text */
export function showToast(text) {
  clearTimeout(timer);
  byId("toast").textContent = text;
  timer = setTimeout(() => byId("toast").replaceChildren(), DURATION);
}
