/**
 * Texts that are written but not posted yet. Each belongs to a conversation, or to the message that it replies to. A
 * draft outlives its form, and all windows of this browser share it.
 */

import { StoredMap } from "../lib/storage.js";
import { formatRoute, isSameBus, parseRoute } from "./route.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Draft} Draft */

export class Drafts {
  /** By the route of the conversation or message. @type {StoredMap<Draft>} */ #drafts;

  /** @param {() => void} onChange here, or in another window */
  constructor(onChange) {
    this.onChange = onChange;
    this.#drafts = new StoredMap("draft", onChange);
  }

  /** @param {Bus} bus @param {string} [msgId] the message that it replies to, if any */
  get(bus, msgId) {
    return this.#drafts.get(formatRoute(bus, undefined, msgId));
  }

  /** A blank text deletes the draft. @param {Bus} bus @param {string | undefined} msgId @param {Draft} draft */
  set(bus, msgId, draft) {
    const route = formatRoute(bus, undefined, msgId);
    if (draft.body.trim()) this.#drafts.set(route, draft);
    else if (this.#drafts.get(route)) this.#drafts.delete(route);
    else return;
    this.onChange();
  }

  /** @param {Bus} bus @param {string} [msgId] */
  delete(bus, msgId) {
    this.#drafts.delete(formatRoute(bus, undefined, msgId));
    this.onChange();
  }

  /** The unfinished replies of a conversation, by the id of the message that they reply to. @param {Bus} bus */
  repliesIn(bus) {
    const replies = new Map();
    for (const [fragment, draft] of this.#drafts.entries()) {
      const route = parseRoute(fragment);
      if (route.msgId && isSameBus(bus, route.bus)) replies.set(route.msgId, draft);
    }
    return replies;
  }

  /** Append a reply to the draft of its conversation, because its parent is gone. @param {Bus} bus @param {string} msgId */
  detach(bus, msgId) {
    const reply = this.get(bus, msgId);
    if (!reply) return;
    const own = this.get(bus);
    const body = [own?.body, reply.body].filter(Boolean).join("\n\n");
    this.set(bus, undefined, { body, type: own?.type ?? "USER" });
    this.delete(bus, msgId);
  }
}
