/** What waits for an answer, above the conversation until it has one. */

import { byId, fill, make } from "./dom.js";
import { colour } from "./kinds.js";
import { excerpt } from "./markdown.js";

/** @typedef {import("./types.js").Message} Message */

const MOST = 4; // that are listed before "all"

export class Pins {
  #areAllShown = false;
  /** @type {Message[]} */ #waiting = [];
  #count = 0;
  #shows = "";

  /** @param {(message: Message) => void} jump @param {(message: Message) => void} answer */
  constructor(jump, answer) {
    this.jump = jump;
    this.answer = answer;
  }

  /** @param {Iterable<Message>} waiting those that are held, oldest first @param {number} count how many there are */
  show(waiting, count) {
    this.#waiting = [...waiting].reverse(); // the newest first: who asks waits now
    this.#count = count;
    this.#draw();
  }

  clear() {
    this.#areAllShown = false;
    this.show([], 0);
  }

  #draw() {
    const shown = this.#areAllShown ? this.#waiting : this.#waiting.slice(0, MOST);
    const shows = [...shown.map(({ msg_id }) => msg_id), this.#waiting.length, this.#count, this.#areAllShown].join();
    if (shows === this.#shows) return;
    this.#shows = shows;
    const element = byId("pins");
    element.hidden = shown.length === 0;
    const count = make("span.count", {}, this.#count.toLocaleString());
    fill(element, [
      make("h2", {}, "Waiting for an answer", count, this.#more()),
      ...shown.map((message) => this.#pin(message)),
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
  #pin(message) {
    const go = make(
      "button.pin",
      { type: "button", title: "Go there", "data-name": message.msg_id, onclick: () => this.jump(message) },
      make("span.kind", {}, message.type),
      make("span.words", {}, excerpt(message.body ?? "")),
      message.run_id && make("span.from", {}, message.run_id),
    );
    go.dataset.colour = colour(message.type);
    const answer = make("button.quiet", { type: "button", onclick: () => this.answer(message) }, "Answer");
    return make("div.pin-row", {}, go, answer);
  }
}
