/**
 * How many messages of each conversation are unread. The server counts what follows a read mark, and is asked only
 * about conversations in which something has changed since.
 */

import { busFields, countUnread } from "../lib/api.js";
import { ReadMarks } from "./read-marks.js";
import { busName, busOf } from "./route.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").BusActivity} BusActivity */
/** @typedef {{mark: string, last: string, count: number}} UnreadCount  Of the messages after `mark`, up to `last`. */

const MAX_BUSES = 1_000; // in one request

export class UnreadCounts {
  #marks;
  /** By the names of conversations. @type {Map<string, UnreadCount>} */ #counts = new Map();
  #isFirstVisit;

  /** @param {() => void} onMarksChange another window has read something */
  constructor(onMarksChange) {
    this.#marks = new ReadMarks(onMarksChange);
    this.#isFirstVisit = this.#marks.isEmpty;
  }

  // API

  /** @param {Bus} bus */
  get(bus) {
    return this.#counts.get(busName(bus))?.count ?? 0;
  }

  /** The sum over all conversations but one. @param {Bus | null} excluded */
  total(excluded) {
    const others = [...this.#counts].filter(([name]) => !excluded || name !== busName(excluded));
    return others.reduce((sum, [, { count }]) => sum + count, 0);
  }

  /** Count again where something has arrived or been read. @param {BusActivity[]} buses */
  async update(buses) {
    if (this.#isFirstVisit) for (const activity of buses) this.#startAtEnd(activity);
    this.#isFirstVisit = false;
    const outdated = buses.filter((activity) => activity.last_id && this.#isOutdated(activity, activity.last_id));
    const queries = outdated.slice(0, MAX_BUSES).map((activity) => {
      const bus = busOf(activity);
      const name = busName(bus);
      return { name, last: activity.last_id ?? "", mark: this.#marks.get(name) ?? "", fields: busFields(bus) };
    });
    if (!queries.length) return;
    const { counts } = await countUnread(
      queries.map(({ fields, mark }) => ({ ...fields, ...(mark && { after: mark }) })),
    );
    for (const [index, { name, mark, last }] of queries.entries())
      this.#counts.set(name, { mark, last, count: counts[index] });
  }

  /**
   * All messages up to this one have been read here.
   * @param {Bus} bus
   * @param {string} msgId
   * @returns {Promise<boolean>} whether a count has changed
   */
  async markRead(bus, msgId) {
    if (!(await this.#marks.advance(bus, msgId))) return false;
    const hadUnread = this.get(bus) > 0;
    this.#counts.set(busName(bus), { mark: msgId, last: msgId, count: 0 });
    return hadUnread;
  }

  /**
   * Another window has moved a mark. What it has read to the end has no unread messages; the next update counts the
   * others.
   * @param {BusActivity[]} buses
   * @returns {boolean} whether a count has changed
   */
  clearRead(buses) {
    const isRead = (/** @type {BusActivity} */ activity) =>
      this.get(busOf(activity)) > 0 && this.#marks.get(busName(busOf(activity))) === activity.last_id;
    const read = buses.filter(isRead);
    for (const activity of read) this.#isOutdated(activity, activity.last_id ?? "");
    return read.length > 0;
  }

  // Internal

  /** On a first visit everything so far counts as read. @param {BusActivity} activity */
  #startAtEnd(activity) {
    const name = busName(busOf(activity));
    if (activity.last_id && !this.#marks.get(name)) this.#marks.set(name, activity.last_id);
  }

  /** Must the server count? Not if all has been read: then the count is 0. @param {BusActivity} activity @param {string} last */
  #isOutdated(activity, last) {
    const name = busName(busOf(activity));
    const mark = this.#marks.get(name) ?? "";
    if (mark === last) this.#counts.set(name, { mark, last, count: 0 });
    const counted = this.#counts.get(name);
    return counted?.last !== last || counted.mark !== mark;
  }
}
