/** What the page says of itself: connected or not, empty, in error; and aloud, to a screen reader. */

import { byId, copy, make } from "./dom.js";
import { command, spoken } from "./message.js";
import { isSilent } from "./panel.js";

/** @typedef {import("./types.js").Message} Message */

const SAID_AFTER = 1_000; // milliseconds in which new messages are gathered, to be said together
const TOLD_FOR = 8_000; // milliseconds
const UNITS = /** @type {const} */ ([
  ["a minute", 60],
  ["an hour", 3_600],
  ["a day", 86_400],
]);

/** @type {Message[]} */
let unsaid = [];
/** @type {ReturnType<typeof setTimeout> | undefined} */
let telling;

/** @param {import("./stream.js").State} state @param {number} [seconds] */
export function showState(state, seconds) {
  const words = {
    connecting: "Connecting",
    live: "Live",
    offline: `Offline${seconds ? `, again in ${seconds} s` : ""}`,
    paused: "Paused",
  };
  const element = byId("state");
  element.dataset.state = state;
  element.textContent = words[state];
}

/**
 * Where no message is.
 * @param {string} words "" for nothing
 * @param {import("./types.js").Bus} [postTo] with the command that posts there
 */
export function notice(words, postTo) {
  const element = byId("notice");
  element.hidden = !words;
  byId("log").setAttribute("role", words ? "region" : "feed"); // a feed has articles
  element.replaceChildren(make("p", {}, words), ...(postTo ? [line(command(postTo))] : []));
}

/** @param {string} text */
function line(text) {
  const button = make("button", { type: "button", onclick: () => copied(button, text) }, "Copy");
  return make("div.command", {}, make("code", {}, text), button);
}

/** @param {HTMLElement} button @param {string} text */
async function copied(button, text) {
  button.textContent = (await copy(text)) ? "Copied" : "Not copied";
}

/** Say something that nobody needs to answer. @param {string} words */
export function tell(words) {
  clearTimeout(telling);
  byId("toast").textContent = words;
  telling = setTimeout(() => byId("toast").replaceChildren(), TOLD_FOR);
}

/** Say aloud what has come. @param {Message[]} messages */
export function announce(messages) {
  if (!messages.length) return;
  if (!unsaid.length) setTimeout(say, SAID_AFTER);
  unsaid.push(...messages.slice(-200));
}

function say() {
  byId("announce").textContent = spoken(unsaid);
  unsaid = [];
}

/** How many messages, and how fast they come. @param {import("./types.js").Summary} summary */
export function inWords({ count, runs, histogram }) {
  const messages = count === 1 ? "1 message" : `${count.toLocaleString()} messages · ${pace(histogram)}`;
  const silent = runs.filter(isSilent).length;
  return `${messages}${silent ? ` · ${silent} silent` : ""}`;
}

/** In the shortest unit that the chart tells apart. @param {import("./types.js").Histogram} histogram */
function pace({ series, rest, step }) {
  const columns = rest.map((others, index) => series.reduce((sum, { counts }) => sum + counts[index], others));
  const [unit, seconds] = UNITS.find(([, length]) => step <= length) ?? UNITS[2];
  const total = columns.reduce((sum, one) => sum + one, 0);
  const width = Math.max(1, Math.round(seconds / step)); // columns in a unit
  let [busiest, inUnit] = [0, 0];
  for (let index = 0; index < columns.length; index++) {
    inUnit += columns[index] - (columns[index - width] ?? 0);
    busiest = Math.max(busiest, inUnit);
  }
  const words = (/** @type {number} */ of) => of.toLocaleString(undefined, { maximumFractionDigits: 1 });
  return `${words(total / Math.max(1, columns.length / width))} ${unit}, ${words(busiest)} in the busiest`;
}
