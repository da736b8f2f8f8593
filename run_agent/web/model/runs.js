/** The runs of a conversation: which have fallen silent, and which lines of the log have changed. */

import { isRunEvent } from "./message-types.js";

/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").Run} Run */

const SILENT_AFTER = 300; // seconds without a message

/** Is the run still running, as far as the log says, but has not posted for a while? @param {Run} run */
export const isSilent = ({ state, last }) =>
  state === "running" && (Date.now() - Date.parse(last)) / 1000 > SILENT_AFTER;

/**
 * The ids of run events that show something else now: how long a run took is known only once its start is.
 * @param {Message[]} messages
 * @param {Map<string, Run>} before by run id
 * @param {Map<string, Run>} after
 */
export function changedRunEvents(messages, before, after) {
  const hasChanged = ({ run_id = "", type = "" }) =>
    isRunEvent(type) && before.get(run_id)?.started !== after.get(run_id)?.started;
  return messages.filter(hasChanged).map(({ msg_id }) => msg_id);
}
