/**
 * Texts that are written and not posted yet. Each belongs to one message, to which it replies, or to a conversation;
 * it outlives the form it is written in, and every window of this browser has the same.
 */

import { fromAddress, isSame, toAddress } from "./filter.js";
import { Shelf } from "./kept.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Draft} Draft */

export class Drafts {
  /** By the address of what they belong to. @type {Shelf<Draft>} */ #shelf;

  /** @param {() => void} changed here, or in another window */
  constructor(changed) {
    this.changed = changed;
    this.#shelf = new Shelf("draft", changed);
  }

  /** @param {Bus} bus @param {string} [msgId] of the message to which it replies; none: to the conversation */
  get(bus, msgId) {
    return this.#shelf.get(toAddress(bus, undefined, msgId));
  }

  /** A text of nothing but blanks is none. @param {Bus} bus @param {string | undefined} msgId @param {Draft} draft */
  set(bus, msgId, draft) {
    const address = toAddress(bus, undefined, msgId);
    if (draft.body.trim()) this.#shelf.set(address, draft);
    else if (this.#shelf.get(address)) this.#shelf.delete(address);
    else return;
    this.changed();
  }

  /** @param {Bus} bus @param {string} [msgId] */
  delete(bus, msgId) {
    this.#shelf.delete(toAddress(bus, undefined, msgId));
    this.changed();
  }

  /** The replies of a conversation, by the id of the message to which they reply. @param {Bus} bus */
  repliesIn(bus) {
    const replies = new Map();
    for (const [address, draft] of this.#shelf.entries()) {
      const { bus: other, at } = fromAddress(address);
      if (at && isSame(bus, other)) replies.set(at, draft);
    }
    return replies;
  }

  /** What it replies to is gone: it becomes one to the conversation, after what is begun there. @param {Bus} bus @param {string} msgId */
  release(bus, msgId) {
    const reply = this.get(bus, msgId);
    if (!reply) return;
    const own = this.get(bus);
    const body = [own?.body, reply.body].filter(Boolean).join("\n\n");
    this.set(bus, undefined, { body, type: own?.type ?? "USER" });
    this.delete(bus, msgId);
  }
}
