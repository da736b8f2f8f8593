/**
 * How far each conversation was read in this browser: the id of a message. Windows share the marks, and a window that
 * lags behind never moves one back.
 */

import { unread } from "./api.js";
import { nameOf } from "./filter.js";
import { Shelf } from "./kept.js";

/** @typedef {import("./types.js").Bus} Bus */

const OURS = /^MSG-[0-7][0-9A-HJKMNP-TV-Z]{25}$/; // the later of two is the greater text (SPEC.md, "Ids")

export class ReadMarks {
  /** By the names of conversations. @type {Shelf<string>} */ #marks;
  /** What was asked of the server, and need not be asked again. @type {Map<string, string>} */ #asked = new Map();

  /** @param {() => void} changed by another window */
  constructor(changed) {
    this.#marks = new Shelf("seen", changed);
  }

  get areNone() {
    return this.#marks.size === 0;
  }

  /** @param {string} name of a conversation */
  get(name) {
    return this.#marks.get(name);
  }

  /** @param {string} name @param {string} msgId */
  set(name, msgId) {
    this.#marks.set(name, msgId);
  }

  /** All up to this message has been read; is the mark there now? @param {Bus} bus @param {string} msgId @returns {Promise<boolean>} */
  async saw(bus, msgId) {
    const name = nameOf(bus);
    const mark = this.#marks.latest(name);
    if (mark === msgId) return false;
    if (mark && !isAfter(msgId, mark) && !(await this.#isFurther(bus, msgId, mark))) return false;
    if (this.#marks.latest(name) !== mark) return this.saw(bus, msgId); // it was moved while the server was asked
    this.#marks.set(name, msgId);
    return true;
  }

  /** Their ids do not say it, or say no; but a file may have been cut or replaced. @param {Bus} bus @param {string} msgId @param {string} mark */
  async #isFurther(bus, msgId, mark) {
    const question = `${mark} ${msgId}`;
    if (this.#asked.get(nameOf(bus)) === question) return false;
    this.#asked.set(nameOf(bus), question);
    const at = { project_id: bus.project, ...(bus.task && { task_id: bus.task }) };
    const { counts } = await unread([mark, msgId].map((after) => ({ ...at, after }))).catch((error) => {
      this.#asked.delete(nameOf(bus));
      throw error;
    });
    return counts[1] <= counts[0]; // no more come after it; all come after one that is not there
  }
}

/** @param {string} one @param {string} other */
const isAfter = (one, other) => OURS.test(one) && OURS.test(other) && one > other;
