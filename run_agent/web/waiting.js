/** What waits for an answer in a conversation: as the server counts it, and as messages come. */

import { answered, isAsking } from "./kinds.js";

/** @typedef {import("./types.js").Message} Message */

export class Waiting {
  /** Oldest first; of very many, the newest alone. @type {Map<string, Message>} */ messages = new Map();
  count = 0;

  /** What the server says. @param {{count: number, messages: Message[]}} unanswered @returns {string[]} ids of those that began or ceased to wait */
  take({ count, messages }) {
    const before = this.messages;
    this.count = count;
    this.messages = new Map(messages.map((message) => [message.msg_id, message]));
    return [...before.keys(), ...this.messages.keys()].filter((id) => before.has(id) !== this.messages.has(id));
  }

  /** A message has come. @param {Message} message @returns {string[]} ids of those that it answers */
  came(message) {
    const settled = answered(message).filter((id) => this.messages.delete(id));
    this.count -= settled.length;
    if (isAsking(message.type)) {
      if (!this.messages.has(message.msg_id)) this.count += 1;
      this.messages.set(message.msg_id, message);
    }
    return settled;
  }
}
