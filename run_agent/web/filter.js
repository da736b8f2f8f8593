/** Which conversation and which of its messages: kept in the address, so that a link shows the same to somebody else. */

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Place} Place */

/** @type {Filter} */
export const EVERYTHING = { types: [], run: "", text: "", from: "", until: "" };

/** @param {Filter} filter */
export const isEverything = (filter) => toQuery(filter).size === 0;

/** @param {Bus} bus */
export const nameOf = ({ project, task }) => (task ? `${project}/${task}` : project);

/** @param {Bus | null} one @param {Bus | null} other */
export const isSame = (one, other) => Boolean(one && other && nameOf(one) === nameOf(other));

/** The place that the address names. @returns {Place} */
export function fromAddress(hash = location.hash) {
  const [path, query] = hash.replace(/^#\/?/, "").split("?");
  const [project, task] = path.split("/").map(decodeOrNot);
  const given = new URLSearchParams(query);
  const filter = {
    types: (given.get("type") ?? "").split(",").filter(Boolean),
    run: given.get("run") ?? "",
    text: given.get("text") ?? "",
    from: given.get("from") ?? "",
    until: given.get("until") ?? "",
  };
  const isBus = hash.startsWith("#/") && project;
  return { bus: isBus ? { project, ...(task && { task }) } : null, filter, at: given.get("at") ?? "" };
}

/**
 * The address of a place.
 * @param {Bus} bus
 * @param {Filter} filter
 * @param {string} at
 */
export function toAddress(bus, filter = EVERYTHING, at = "") {
  const query = toQuery(filter);
  if (at) query.set("at", at);
  const path = nameOf(bus).split("/").map(encodeURIComponent).join("/");
  return `#/${path}${query.size ? `?${query}` : ""}`;
}

/**
 * Does a message that has just come belong to what is shown?
 * @param {Message} message
 * @param {Filter} filter
 */
export function fits(message, { types, run, text, from, until }) {
  if (types.length && !types.includes(message.type.toUpperCase())) return false;
  if (run && message.run_id !== run) return false;
  if (text && !(message.body ?? "").toLowerCase().includes(text.toLowerCase())) return false;
  const time = Date.parse(message.timestamp);
  if (from && !from.startsWith("-") && time < Date.parse(from)) return false;
  return !(until && time >= Date.parse(until));
}

/** @param {Filter} filter */
function toQuery({ types, run, text, from, until }) {
  const query = new URLSearchParams();
  if (types.length) query.set("type", types.join(","));
  for (const [name, value] of Object.entries({ run, text, from, until })) if (value) query.set(name, value);
  return query;
}

/** @param {string} text */
function decodeOrNot(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
