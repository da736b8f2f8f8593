/** The form below a message in which a reply to it is written; one at a time. */

import { Composer } from "./composer.js";
import { make } from "./dom.js";

/** @typedef {import("./types.js").Message} Message */

export class Replying {
  /** @type {Message | null} */ message = null;

  /**
   * @param {import("./drafts.js").Drafts} drafts
   * @param {(message: import("./composer.js").Written) => void} send
   * @param {(message: Message) => void} closed
   */
  constructor(drafts, send, closed) {
    this.closed = closed;
    const form = /** @type {HTMLFormElement} */ (make("form.composer.in-place", { "aria-label": "Reply" }));
    this.composer = new Composer(form, drafts, send, () => this.close());
  }

  /** @param {import("./types.js").Bus} bus @param {Message} message */
  open(bus, message) {
    this.message = message;
    this.composer.open(bus, message);
  }

  /** What is written stays, as a draft. */
  close() {
    const { message } = this;
    this.message = null;
    if (message) this.closed(message);
  }

  /** @param {string} msgId */
  form(msgId) {
    return this.message?.msg_id === msgId ? this.composer.form : null;
  }
}
