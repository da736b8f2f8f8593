/** What waits for an answer, above the conversation until it has one; and replies that were begun. */

import { byId, fill, make } from "./dom.js";
import { colour } from "./kinds.js";
import { excerpt } from "./markdown.js";

/** @typedef {import("./types.js").Draft} Draft */
/** @typedef {import("./types.js").Message} Message */

const MOST = 4; // that are listed before "all"

export class Pins {
  #areAllShown = false;
  /** @type {Message[]} */ #waiting = [];
  /** @type {Map<string, Draft>} */ #drafts = new Map();
  #count = 0;
  #shows = "";

  /** @param {(msgId: string) => void} jump @param {(msgId: string) => void} answer */
  constructor(jump, answer) {
    this.jump = jump;
    this.answer = answer;
  }

  /**
   * @param {Pick<import("./waiting.js").Waiting, "messages" | "count">} waiting
   * @param {Map<string, Draft>} drafts replies that were begun, by what they reply to
   * @param {(msgId: string) => boolean} isOpen is it being written, where one sees it?
   */
  show({ messages, count }, drafts, isOpen) {
    this.#waiting = [...messages.values()].reverse(); // the newest first: who asks waits now
    this.#count = count;
    this.#drafts = new Map([...drafts].filter(([msgId]) => messages.has(msgId) || !isOpen(msgId)));
    this.#draw();
  }

  clear() {
    this.#areAllShown = false;
    this.show({ messages: new Map(), count: 0 }, new Map(), () => false);
  }

  #draw() {
    const shown = this.#areAllShown ? this.#waiting : this.#waiting.slice(0, MOST);
    const pinned = new Set(shown.map(({ msg_id }) => msg_id));
    const others = [...this.#drafts].filter(([msgId]) => !pinned.has(msgId));
    const shows = JSON.stringify([
      [...pinned].map((msgId) => [msgId, this.#drafts.has(msgId)]),
      others,
      this.#waiting.length,
      this.#count,
    ]);
    if (shows === this.#shows) return;
    this.#shows = shows;
    const element = byId("pins");
    element.hidden = shown.length + others.length === 0;
    const count = make("span.count", {}, this.#count.toLocaleString());
    const title = shown.length ? [make("h2", {}, "Waiting for an answer", count, this.#more())] : [];
    fill(element, [
      ...title,
      ...shown.map((message) => this.#pin(message)),
      ...others.map(([msgId, draft]) => this.#draft(msgId, draft)),
    ]);
  }

  #more() {
    if (this.#waiting.length <= MOST) return null;
    const properties = { type: "button", "aria-expanded": String(this.#areAllShown), onclick: () => this.#toggle() };
    return make("button.quiet", properties, this.#areAllShown ? "Fewer" : `All ${this.#waiting.length}`);
  }

  #toggle() {
    this.#areAllShown = !this.#areAllShown;
    this.#draw();
  }

  /** @param {Message} message */
  #pin({ msg_id, type, body, run_id }) {
    const go = make(
      "button.pin",
      { type: "button", title: "Go there", "data-name": msg_id, onclick: () => this.jump(msg_id) },
      make("span.kind", {}, type),
      this.#drafts.has(msg_id) && make("span.draft", {}, "Draft"),
      make("span.words", {}, excerpt(body ?? "")),
      run_id && make("span.from", {}, run_id),
    );
    go.dataset.colour = colour(type);
    const answer = make("button.quiet", { type: "button", onclick: () => this.answer(msg_id) }, "Answer");
    return make("div.pin-row", {}, go, answer);
  }

  /** A reply that was begun, to a message that is not listed here. @param {string} msgId @param {Draft} draft */
  #draft(msgId, { body, to = msgId }) {
    const go = make(
      "button.pin",
      { type: "button", title: "Go on writing", "data-name": `draft ${msgId}`, onclick: () => this.answer(msgId) },
      make("span.draft", {}, "Draft"),
      make("span.words", {}, excerpt(body)),
      make("span.from", {}, `to ${to}`),
    );
    return make("div.pin-row", {}, go);
  }
}
