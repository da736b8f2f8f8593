/** Announces new messages to screen readers, in one sentence for all that arrive within a second. */

import { byId } from "../lib/dom.js";
import { excerpt } from "../lib/markdown.js";

/** @typedef {import("../types.js").Message} Message */

const DELAY = 1_000; // milliseconds

let count = 0;
/** @type {Message | undefined} */
let last;

/** @param {Message[]} messages */
export function announce(messages) {
  if (!messages.length) return;
  if (!count) setTimeout(announcePending, DELAY);
  count += messages.length;
  last = messages.at(-1);
}

function announcePending() {
  if (!last) return;
  const text = `${last.type}${last.run_id ? ` from ${last.run_id}` : ""}: ${excerpt(last.body ?? "")}`;
  byId("announcer").textContent = count === 1 ? text : `${count} new messages. The last is ${text}`;
  count = 0;
}
