/**
 * The rows of one conversation in the message list: rendering one again, focusing a message in it, and the reply form.
 * A message is shown in its own row, or within the thread of another message.
 */

/** @typedef {import("../types.js").Message} Message */

export class MessageRows {
  /**
   * @param {import("./virtual-list.js").VirtualList<Message>} list
   * @param {import("../model/threads.js").Threads} threads
   * @param {import("./reply-form.js").ReplyForm} replyForm
   */
  constructor(list, threads, replyForm) {
    this.list = list;
    this.threads = threads;
    this.replyForm = replyForm;
  }

  /** Render the row of a message again, unless the user is typing in it. @param {string} msgId */
  refresh(msgId) {
    const key = this.threads.rowOf(msgId);
    const row = this.list.row(key);
    if (!row) return;
    const active = document.activeElement;
    if (active instanceof HTMLTextAreaElement && row.contains(active) && this.replyForm.message) return;
    const focused = row.contains(active) ? active?.closest("article")?.getAttribute("data-id") : null;
    this.list.refresh([key]);
    if (focused) this.#article(key, focused)?.focus({ preventScroll: true });
  }

  /** Render the rows of these messages again that refer to a message. @param {string} msgId @param {Message[]} messages */
  refreshMentioning(msgId, messages) {
    for (const { msg_id, parents } of messages) if (parents?.includes(msgId)) this.refresh(msg_id);
  }

  /** Scroll to a message and focus it. @param {string} msgId */
  focus(msgId) {
    const key = this.threads.rowOf(msgId);
    this.list.reveal(key);
    this.#article(key, msgId)?.focus({ preventScroll: true });
  }

  /** Scroll to a message that has a row of its own, focus it and flash it. @param {string} msgId */
  highlight(msgId) {
    this.list.reveal(msgId, true);
    const article = this.list.row(msgId)?.querySelector("article");
    if (!(article instanceof HTMLElement)) return;
    article.focus({ preventScroll: true });
    article.classList.remove("highlighted");
    requestAnimationFrame(() => article.classList.add("highlighted"));
  }

  /** Show the reply form below a message. @param {import("../types.js").Bus} bus @param {Message} message */
  openReplyForm(bus, message) {
    const before = this.replyForm.message;
    this.replyForm.open(bus, message);
    if (before) this.refresh(before.msg_id);
    this.refresh(message.msg_id);
    this.list.reveal(this.threads.rowOf(message.msg_id));
    this.replyForm.composer.focus();
  }

  /** Is the reply form below this message, in a row that can be scrolled to? @param {string} msgId */
  hasReplyForm(msgId) {
    return this.replyForm.message?.msg_id === msgId && this.list.has(this.threads.rowOf(msgId));
  }

  /** @param {string} key @param {string} msgId @returns {HTMLElement | null | undefined} */
  #article(key, msgId) {
    return this.list.row(key)?.querySelector(`[data-id="${CSS.escape(msgId)}"]`);
  }
}
