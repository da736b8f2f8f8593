/** The unanswered messages, listed above the conversation, and drafts of replies to messages that are out of sight. */

import { byId, fill, make } from "../lib/dom.js";
import { excerpt } from "../lib/markdown.js";
import { typeColour } from "../model/message-types.js";

/** @typedef {import("../types.js").Draft} Draft */
/** @typedef {import("../types.js").Message} Message */

const MAX_COLLAPSED = 4; // messages that are listed before "All"

export class UnansweredList {
  #isExpanded = false;
  /** @type {Message[]} */ #messages = [];
  /** Of replies, by the id of the parent. @type {Map<string, Draft>} */ #drafts = new Map();
  #count = 0;
  #rendered = ""; // what is shown now, to leave the elements alone if nothing has changed

  /** @param {(msgId: string) => void} onJump @param {(msgId: string) => void} onAnswer */
  constructor(onJump, onAnswer) {
    this.onJump = onJump;
    this.onAnswer = onAnswer;
  }

  // API

  /**
   * @param {Pick<import("../model/unanswered.js").Unanswered, "messages" | "count">} unanswered
   * @param {Map<string, Draft>} drafts of replies, by the id of the parent
   * @param {(msgId: string) => boolean} isOpen is the reply to this message being written in a visible form?
   */
  show({ messages, count }, drafts, isOpen) {
    this.#messages = [...messages.values()].reverse(); // newest first: its sender is waiting now
    this.#count = count;
    this.#drafts = new Map([...drafts].filter(([msgId]) => messages.has(msgId) || !isOpen(msgId)));
    this.#render();
  }

  clear() {
    this.#isExpanded = false;
    this.show({ messages: new Map(), count: 0 }, new Map(), () => false);
  }

  // Internal

  #render() {
    const shown = this.#isExpanded ? this.#messages : this.#messages.slice(0, MAX_COLLAPSED);
    const listed = new Set(shown.map(({ msg_id }) => msg_id));
    const otherDrafts = [...this.#drafts].filter(([msgId]) => !listed.has(msgId));
    const content = JSON.stringify([
      [...listed].map((msgId) => [msgId, this.#drafts.has(msgId)]),
      otherDrafts,
      this.#messages.length,
      this.#count,
    ]);
    if (content === this.#rendered) return;
    this.#rendered = content;
    const element = byId("unanswered");
    element.hidden = shown.length + otherDrafts.length === 0;
    const count = make("span.count", {}, this.#count.toLocaleString());
    const heading = shown.length ? [make("h2", {}, "Unanswered", count, this.#expandButton())] : [];
    fill(element, [
      ...heading,
      ...shown.map((message) => this.#messageRow(message)),
      ...otherDrafts.map(([msgId, draft]) => this.#draftRow(msgId, draft)),
    ]);
  }

  #expandButton() {
    if (this.#messages.length <= MAX_COLLAPSED) return null;
    const properties = { type: "button", "aria-expanded": String(this.#isExpanded), onclick: () => this.#toggle() };
    return make("button.quiet", properties, this.#isExpanded ? "Fewer" : `All ${this.#messages.length}`);
  }

  #toggle() {
    this.#isExpanded = !this.#isExpanded;
    this.#render();
  }

  /** @param {Message} message */
  #messageRow({ msg_id, type, body, run_id }) {
    const link = make(
      "button.unanswered-link",
      { type: "button", title: "Go to this message", "data-name": msg_id, onclick: () => this.onJump(msg_id) },
      make("span.message-type", {}, type),
      this.#drafts.has(msg_id) && make("span.draft", {}, "Draft"),
      make("span.excerpt", {}, excerpt(body ?? "")),
      run_id && make("span.origin", {}, run_id),
    );
    link.dataset.colour = typeColour(type);
    const answer = make("button.quiet", { type: "button", onclick: () => this.onAnswer(msg_id) }, "Answer");
    return make("div.unanswered-row", {}, link, answer);
  }

  /** The draft of a reply to a message that is not listed. @param {string} msgId @param {Draft} draft */
  #draftRow(msgId, { body, to = msgId }) {
    const properties = { type: "button", title: "Continue writing", "data-name": `draft ${msgId}` };
    const link = make(
      "button.unanswered-link",
      { ...properties, onclick: () => this.onAnswer(msgId) },
      make("span.draft", {}, "Draft"),
      make("span.excerpt", {}, excerpt(body)),
      make("span.origin", {}, `to ${to}`),
    );
    return make("div.unanswered-row", {}, link);
  }
}
