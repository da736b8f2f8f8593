/** Describes in words how many messages a conversation has, and how fast they arrive. */

import { isSilent } from "../model/runs.js";

const UNITS = /** @type {const} */ ([
  ["a minute", 60],
  ["an hour", 3_600],
  ["a day", 86_400],
]);

/** @param {import("../types.js").Summary} summary */
export function describeRate({ count, runs, histogram }) {
  const messages = count === 1 ? "1 message" : `${count.toLocaleString()} messages · ${rate(histogram)}`;
  const silent = runs.filter(isSilent).length;
  return `${messages}${silent ? ` · ${silent} silent` : ""}`;
}

/** The average and the peak, in the shortest unit that the histogram can resolve. @param {import("../types.js").Histogram} histogram */
function rate({ series, rest, step }) {
  const columns = rest.map((others, index) => series.reduce((sum, { counts }) => sum + counts[index], others));
  const [unit, seconds] = UNITS.find(([, length]) => step <= length) ?? UNITS[2];
  const total = columns.reduce((sum, count) => sum + count, 0);
  const width = Math.max(1, Math.round(seconds / step)); // columns in a unit
  let [peak, inUnit] = [0, 0];
  for (let index = 0; index < columns.length; index++) {
    inUnit += columns[index] - (columns[index - width] ?? 0);
    peak = Math.max(peak, inUnit);
  }
  const format = (/** @type {number} */ value) => value.toLocaleString(undefined, { maximumFractionDigits: 1 });
  return `${format(total / Math.max(1, columns.length / width))} ${unit}, peak ${format(peak)}`;
}
