/** Types of messages: their colours, and which of them wait for an answer. The same rule as the server's summary. */

/** @typedef {import("./types.js").Message} Message */

const KNOWN = new Set([
  "ANSWER",
  "DECISION",
  "ERROR",
  "FACT",
  "INFO",
  "ISSUE",
  "PROGRESS",
  "QUESTION",
  "RUN_CRASH",
  "RUN_START",
  "RUN_STOP",
  "USER",
]);
const OTHERS = ["other-1", "other-2", "other-3", "other-4"];
const RUNS = ["run-1", "run-2", "run-3", "run-4", "run-5", "run-6", "run-7", "run-8"];
const ANSWERING = new Set(["answers", "closes", "fixes", "resolves"]);
export const OFFERED = ["USER", "QUESTION", "ANSWER", "FACT", "DECISION", "ISSUE", "PROGRESS", "INFO"];

/** The name of a type's colour. @param {string} type */
export function colour(type) {
  const name = type.toUpperCase();
  return KNOWN.has(name) ? name.toLowerCase() : OTHERS[hash(name) % OTHERS.length];
}

/** The name of a run's colour. @param {string} run */
export const colourOfRun = (run) => (run ? RUNS[hash(run) % RUNS.length] : "info");

/** @param {string} type */
export const isAsking = (type) => ["QUESTION", "ISSUE"].includes(type.toUpperCase());

/** @param {string} type */
export const isOfRun = (type) => ["RUN_START", "RUN_STOP", "RUN_CRASH"].includes(type.toUpperCase());

/** The ids that a message answers. @param {Message} message */
export function answered(message) {
  if (message.type.toUpperCase() === "ANSWER") return message.parents ?? [];
  const answers = (message.relations ?? []).filter(({ kind }) => ANSWERING.has(kind ?? ""));
  return answers.map(({ msg_id }) => msg_id);
}

/** @param {string} text */
function hash(text) {
  let sum = 7;
  for (let index = 0; index < text.length; index++) sum = (sum * 31 + text.charCodeAt(index)) >>> 0;
  return sum;
}
