/** The unanswered messages of a conversation: those of the server's last summary, updated by the stream. */

import { answeredIds, needsAnswer } from "./message-types.js";

/** @typedef {import("../types.js").Message} Message */

export class Unanswered {
  /** Oldest first; if there are very many, only the newest. @type {Map<string, Message>} */ messages = new Map();
  count = 0;

  /**
   * Take over the server's summary.
   * @param {{count: number, messages: Message[]}} unanswered
   * @returns {string[]} ids of messages that were added or removed
   */
  replace({ count, messages }) {
    const before = this.messages;
    this.count = count;
    this.messages = new Map(messages.map((message) => [message.msg_id, message]));
    return [...before.keys(), ...this.messages.keys()].filter((id) => before.has(id) !== this.messages.has(id));
  }

  /** A message has arrived. @param {Message} message @returns {string[]} ids of the messages that it answers */
  add(message) {
    const answered = answeredIds(message).filter((id) => this.messages.delete(id));
    this.count -= answered.length;
    if (needsAnswer(message.type)) {
      if (!this.messages.has(message.msg_id)) this.count += 1;
      this.messages.set(message.msg_id, message);
    }
    return answered;
  }
}
