/**
 * Fetches the summary of a conversation (counts, runs, unanswered messages, histogram): at once when asked, and a few
 * seconds after new messages, however many arrive.
 */

import { ApiError, fetchSummary } from "../lib/api.js";

/** @typedef {import("../types.js").Summary} Summary */

const INTERVAL = 3_000; // milliseconds between two requests
const MIN_DELAY = 100; // milliseconds

export class SummaryPoll {
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #fetchedAt = 0;
  #isClosed = false;

  /**
   * @param {import("../types.js").Bus} bus
   * @param {import("../types.js").Filter} filter
   * @param {() => {by: string, parts: number}} histogram what the chart shows
   * @param {(summary: Summary) => void} onSummary
   */
  constructor(bus, filter, histogram, onSummary) {
    this.bus = bus;
    this.filter = filter;
    this.histogram = histogram;
    this.onSummary = onSummary;
  }

  close() {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  /** Fetch now. */
  async fetch() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#fetchedAt = Date.now();
    const { by, parts } = this.histogram();
    try {
      const summary = await fetchSummary(this.bus, this.filter, by, parts);
      if (!this.#isClosed) this.onSummary(summary);
    } catch (error) {
      if (error instanceof ApiError) this.fetchSoon();
      else throw error;
    }
  }

  /** Fetch as soon as the interval allows. */
  fetchSoon() {
    if (this.#isClosed) return;
    const delay = Math.max(MIN_DELAY, INTERVAL - (Date.now() - this.#fetchedAt));
    this.#timer ??= setTimeout(() => this.fetch(), delay);
  }
}
