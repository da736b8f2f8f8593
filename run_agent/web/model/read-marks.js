/**
 * How far each conversation has been read in this browser: the id of a message. All windows share the marks, and a
 * window that shows an older state never moves a mark back.
 */

import { busFields, countUnread } from "../lib/api.js";
import { StoredMap } from "../lib/storage.js";
import { busName } from "./route.js";

/** @typedef {import("../types.js").Bus} Bus */

const OWN_ID = /^MSG-[0-7][0-9A-HJKMNP-TV-Z]{25}$/; // of two such ids the later sorts after the other (SPEC.md, "Ids")

export class ReadMarks {
  /** By the names of conversations. @type {StoredMap<string>} */ #marks;
  /** The last comparison that the server made for each conversation. @type {Map<string, string>} */ #compared =
    new Map();

  /** @param {() => void} onChange by another window */
  constructor(onChange) {
    this.#marks = new StoredMap("seen", onChange);
  }

  // API

  get isEmpty() {
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

  /**
   * Mark a conversation as read up to a message.
   * @param {Bus} bus
   * @param {string} msgId
   * @returns {Promise<boolean>} whether the mark has moved
   */
  async advance(bus, msgId) {
    const name = busName(bus);
    const mark = this.#marks.readLatest(name);
    if (mark === msgId) return false;
    if (mark && !isLaterId(msgId, mark) && !(await this.#isLaterInLog(bus, msgId, mark))) return false;
    if (this.#marks.readLatest(name) !== mark) return this.advance(bus, msgId); // it moved while the server compared
    this.#marks.set(name, msgId);
    return true;
  }

  // Internal

  /**
   * Foreign ids have no order, and a file may have been cut or replaced since: the server knows.
   * @param {Bus} bus
   * @param {string} msgId
   * @param {string} mark
   */
  async #isLaterInLog(bus, msgId, mark) {
    const comparison = `${mark} ${msgId}`;
    if (this.#compared.get(busName(bus)) === comparison) return false;
    this.#compared.set(busName(bus), comparison);
    const { counts } = await countUnread([mark, msgId].map((after) => ({ ...busFields(bus), after }))).catch(
      (error) => {
        this.#compared.delete(busName(bus));
        throw error;
      },
    );
    return counts[1] <= counts[0]; // no more messages follow it; after an id that is gone, all messages count
  }
}

/** @param {string} one @param {string} other */
const isLaterId = (one, other) => OWN_ID.test(one) && OWN_ID.test(other) && one > other;
