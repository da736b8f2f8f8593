/** The form below a message in which a reply to it is written. There is only one. */

import { make } from "../lib/dom.js";
import { Composer } from "./composer.js";

/** @typedef {import("../types.js").Message} Message */

export class ReplyForm {
  /** The message that it is below. @type {Message | null} */ message = null;

  /**
   * @param {import("../model/drafts.js").Drafts} drafts
   * @param {(message: import("../types.js").NewMessage) => void} onSubmit
   * @param {(message: Message) => void} onClose
   */
  constructor(drafts, onSubmit, onClose) {
    this.onClose = onClose;
    const form = /** @type {HTMLFormElement} */ (make("form.composer.reply-form", { "aria-label": "Reply" }));
    this.composer = new Composer(form, drafts, onSubmit, () => this.close());
  }

  /** @param {import("../types.js").Bus} bus @param {Message} message */
  open(bus, message) {
    this.message = message;
    this.composer.open(bus, message);
  }

  /** Close the form; the text stays as a draft. */
  close() {
    const { message } = this;
    this.message = null;
    if (message) this.onClose(message);
  }

  /** The form, if it is below this message. @param {string} msgId */
  formFor(msgId) {
    return this.message?.msg_id === msgId ? this.composer.form : null;
  }
}
