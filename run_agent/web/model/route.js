/** The route: conversation, filter and message, stored in the fragment of the address so that it can be shared. */

import { NO_FILTER } from "./filter.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Route} Route */

/** @param {Bus} bus */
export const busName = ({ project, task }) => (task ? `${project}/${task}` : project);

/** @param {Bus | null} one @param {Bus | null} other */
export const isSameBus = (one, other) => Boolean(one && other && busName(one) === busName(other));

/** The bus that an entry of the activity list is about. @param {Pick<import("../types.js").BusActivity, "project_id" | "task_id">} activity @returns {Bus} */
export const busOf = ({ project_id, task_id }) => ({ project: project_id, ...(task_id && { task: task_id }) });

/** @param {string} [fragment] of an address, with its "#" @returns {Route} */
export function parseRoute(fragment = location.hash) {
  const [path, query] = fragment.replace(/^#\/?/, "").split("?");
  const [project, task] = path.split("/").map(decodeSafely);
  const parameters = new URLSearchParams(query);
  const filter = {
    types: (parameters.get("type") ?? "").split(",").filter(Boolean),
    run: parameters.get("run") ?? "",
    text: parameters.get("text") ?? "",
    from: parameters.get("from") ?? "",
    until: parameters.get("until") ?? "",
  };
  const isBus = fragment.startsWith("#/") && project;
  return { bus: isBus ? { project, ...(task && { task }) } : null, filter, msgId: parameters.get("at") ?? "" };
}

/**
 * The fragment of an address, with its "#".
 * @param {Bus} bus
 * @param {Filter} filter
 * @param {string} msgId
 */
export function formatRoute(bus, filter = NO_FILTER, msgId = "") {
  const { types, run, text, from, until } = filter;
  const parameters = new URLSearchParams();
  if (types.length) parameters.set("type", types.join(","));
  for (const [name, value] of Object.entries({ run, text, from, until })) if (value) parameters.set(name, value);
  if (msgId) parameters.set("at", msgId);
  const path = busName(bus).split("/").map(encodeURIComponent).join("/");
  return `#/${path}${parameters.size ? `?${parameters}` : ""}`;
}

/** @param {string} text */
function decodeSafely(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
