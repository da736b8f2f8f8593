/** Which messages of a conversation are shown. */

/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Message} Message */

/** @type {Filter} */
export const NO_FILTER = { types: [], run: "", text: "", from: "", until: "" };

/** Does the filter let every message through? @param {Filter} filter */
export const isUnfiltered = ({ types, run, text, from, until }) => !(types.length || run || text || from || until);

/**
 * Does a message from the stream match the filter? It has just been posted, so a relative start time always matches.
 * @param {Message} message
 * @param {Filter} filter
 */
export function matchesFilter(message, { types, run, text, from, until }) {
  if (types.length && !types.includes(message.type.toUpperCase())) return false;
  if (run && message.run_id !== run) return false;
  if (text && !(message.body ?? "").toLowerCase().includes(text.toLowerCase())) return false;
  const time = Date.parse(message.timestamp);
  if (from && !from.startsWith("-") && time < Date.parse(from)) return false;
  return !(until && time >= Date.parse(until));
}
