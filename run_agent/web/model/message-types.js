/** Message types: their colours, which need an answer, and what answers them (the same rule as in the server's summary). */

/** @typedef {import("../types.js").Message} Message */

const WITH_OWN_COLOUR = new Set([
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
const OTHER_COLOURS = ["other-1", "other-2", "other-3", "other-4"];
const RUN_COLOURS = ["run-1", "run-2", "run-3", "run-4", "run-5", "run-6", "run-7", "run-8"];
const ANSWERING_KINDS = new Set(["answers", "closes", "fixes", "resolves"]);
export const SUGGESTED_TYPES = ["USER", "QUESTION", "ANSWER", "FACT", "DECISION", "ISSUE", "PROGRESS", "INFO"];

/** The name of a type's colour in style.css. @param {string} type */
export function typeColour(type) {
  const name = type.toUpperCase();
  return WITH_OWN_COLOUR.has(name) ? name.toLowerCase() : OTHER_COLOURS[hash(name) % OTHER_COLOURS.length];
}

/** The name of a run's colour in style.css. @param {string} run */
export const runColour = (run) => (run ? RUN_COLOURS[hash(run) % RUN_COLOURS.length] : "info");

/** @param {string} type */
export const needsAnswer = (type) => ["QUESTION", "ISSUE"].includes(type.toUpperCase());

/** @param {string} type */
export const isRunEvent = (type) => ["RUN_START", "RUN_STOP", "RUN_CRASH"].includes(type.toUpperCase());

/** The ids of the messages that a message answers. @param {Message} message */
export function answeredIds(message) {
  if (message.type.toUpperCase() === "ANSWER") return message.parents ?? [];
  const answers = (message.relations ?? []).filter(({ kind }) => ANSWERING_KINDS.has(kind ?? ""));
  return answers.map(({ msg_id }) => msg_id);
}

/** @param {string} text */
function hash(text) {
  let sum = 7;
  for (let index = 0; index < text.length; index++) sum = (sum * 31 + text.charCodeAt(index)) >>> 0;
  return sum;
}
