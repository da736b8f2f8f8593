/**
 * The replies that are shown below messages, and messages that are mentioned but not in the loaded window. A thread is
 * open from the moment when its replies have been fetched until the user closes it.
 */

import { fetchMessage, fetchMessages } from "../lib/api.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Message} Message */

const MAX_REPLIES = 200; // in one thread

export class Threads {
  /** The replies of open threads, by the id of the parent. @type {Map<string, Message[]>} */ #open = new Map();
  /** Messages outside the window. @type {Map<string, Message>} */ #others = new Map();
  /** The ids that were looked up. @type {Set<string>} */ #requested = new Set();

  /**
   * @param {Bus} bus
   * @param {import("./message-window.js").MessageWindow} window
   * @param {(msgId: string) => void} onFound a message outside the window has been looked up
   */
  constructor(bus, window, onFound) {
    this.bus = bus;
    this.window = window;
    this.onFound = onFound;
  }

  // API

  /** The replies below a message, if its thread is open. @param {string} msgId */
  replies(msgId) {
    return this.#open.get(msgId);
  }

  /** Open the thread of a message, or close it. @param {string} msgId */
  async toggle(msgId) {
    if (this.#open.delete(msgId)) return;
    const { messages } = await fetchMessages(this.bus, { parent: msgId, first: MAX_REPLIES });
    this.#open.set(msgId, messages);
    for (const message of messages) this.#others.set(message.msg_id, message);
  }

  /** Add a new message to the open threads of its parents. @param {Message} message */
  add(message) {
    for (const parent of message.parents ?? []) {
      const replies = this.#open.get(parent);
      if (replies && !replies.some(({ msg_id }) => msg_id === message.msg_id)) replies.push(message);
      this.#others.set(message.msg_id, message);
    }
  }

  /** A message that another one mentions. One outside the window is looked up, once. @param {string} msgId */
  find(msgId) {
    const message = this.window.byId.get(msgId) ?? this.#others.get(msgId);
    if (!message && !this.#requested.has(msgId)) {
      this.#requested.add(msgId);
      this.#lookUp(msgId);
    }
    return message;
  }

  /** The parent of the thread in which a message is shown, unless it has a row of its own. @param {string} msgId */
  parentOf(msgId) {
    if (this.window.byId.has(msgId)) return undefined;
    return [...this.#open].find(([, replies]) => replies.some(({ msg_id }) => msg_id === msgId))?.[0];
  }

  /** The id of the row in which a message is shown: its own, or that of the outermost thread. @param {string} msgId @returns {string} */
  rowOf(msgId) {
    const parent = this.parentOf(msgId);
    return parent && parent !== msgId ? this.rowOf(parent) : msgId;
  }

  // Internal

  /** @param {string} msgId */
  async #lookUp(msgId) {
    const message = await fetchMessage(this.bus, msgId).catch(() => null);
    if (!message) return;
    this.#others.set(msgId, message);
    this.onFound(msgId);
  }
}
