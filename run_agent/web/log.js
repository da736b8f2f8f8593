/**
 * The part of a conversation that is held in memory: a stretch of the log without gaps, which grows at
 * either end by cursor, and at its live end by the stream. Knows nothing of how it is shown.
 */

import { asQuery, list } from "./api.js";
import { fits, isEverything } from "./filter.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */

const PAGE = 100;
export const MOST = 3_000; // messages held; the rest is a page away
const TAIL = 1_000; // that came live and were not shown: enough for what comes while a page is on its way

export class Log {
  /** @type {Message[]} */ messages = [];
  /** @type {Map<string, Message>} */ byId = new Map();
  /** Replies of each message, as far as is known. @type {Map<string, Set<string>>} */ replies = new Map();
  /** @type {Map<string, number>} */ #counted = new Map();
  /** @type {string | undefined} */ previous;
  isAtEnd = false;
  /** @type {Message[]} */ #tail = [];
  #isLoading = false;

  /**
   * @param {Bus} bus
   * @param {Filter} filter
   */
  constructor(bus, filter) {
    this.bus = bus;
    this.filter = filter;
  }

  /** The newest page, and where the stream has to go on: after what was the newest, fitting or not, before we asked. */
  async open() {
    const newest = isEverything(this.filter) ? undefined : await list(this.bus, { limit: 1 });
    const page = await this.#page({ limit: PAGE });
    this.#begin(page.messages);
    this.previous = page.previous;
    this.isAtEnd = true;
    this.#join();
    return (newest ?? page).next;
  }

  /** A stretch around a message. @param {string} msgId */
  async openAt(msgId) {
    const before = await this.#page({ before: msgId, limit: PAGE });
    const last = before.messages.at(-1)?.msg_id;
    const after = await this.#page(last ? { after: last, first: PAGE } : { first: PAGE });
    this.#begin([...before.messages, ...after.messages]);
    this.previous = before.previous;
    this.isAtEnd = after.messages.length < PAGE;
    if (this.isAtEnd) this.#join();
  }

  /** One page more of history; false where there is none, or one is on its way. */
  async older() {
    if (!this.previous || this.#isLoading) return false;
    return this.#load(async (before) => {
      const page = await this.#page({ before, limit: PAGE });
      this.#put(page.messages, 0);
      this.previous = page.previous;
      if (this.messages.length > MOST) this.#cut(MOST, this.messages.length);
    }, this.previous);
  }

  /** One page more towards the live end. */
  async newer() {
    const last = this.messages.at(-1);
    if (this.isAtEnd || this.#isLoading || !last) return false;
    return this.#load(async (after) => {
      const page = await this.#page({ after, first: PAGE });
      this.#put(page.messages, this.messages.length);
      if (page.messages.length < PAGE) {
        this.isAtEnd = true;
        this.#join();
      }
      if (this.messages.length > MOST) this.#cut(0, this.messages.length - MOST);
    }, last.msg_id);
  }

  /**
   * What the stream brings: the messages that are shown now.
   * @param {Message[]} messages
   * @param {boolean} isFollowing the reader is at the live end, and what is far above may go
   */
  add(messages, isFollowing) {
    const fitting = messages.filter((message) => fits(message, this.filter) && !this.byId.has(message.msg_id));
    this.#note(messages);
    this.#tail = [...this.#tail, ...fitting].slice(-TAIL);
    if (!this.isAtEnd) return [];
    this.#put(fitting, this.messages.length);
    const surplus = this.messages.length - MOST;
    if (surplus > 0 && isFollowing) this.#cut(0, surplus);
    else if (surplus > PAGE) this.#cut(MOST, this.messages.length);
    return fitting;
  }

  /** How many replies a message has. @param {string} msgId */
  countReplies(msgId) {
    return Math.max(this.replies.get(msgId)?.size ?? 0, this.#counted.get(msgId) ?? 0);
  }

  /** @param {Record<string, string | number>} query */
  async #page(query) {
    const page = await list(this.bus, { ...query, ...(isEverything(this.filter) ? {} : asQuery(this.filter)) });
    for (const [msgId, count] of Object.entries(page.replies ?? {})) this.#counted.set(msgId, count);
    return page;
  }

  /**
   * @param {(from: string) => Promise<void>} work
   * @param {string} from
   */
  async #load(work, from) {
    this.#isLoading = true;
    try {
      await work(from);
      return true;
    } finally {
      this.#isLoading = false;
    }
  }

  /** @param {Message[]} messages */
  #begin(messages) {
    this.messages = [];
    this.byId.clear();
    this.#put(messages, 0);
  }

  /**
   * @param {Message[]} messages
   * @param {number} where
   */
  #put(messages, where) {
    const fresh = messages.filter(({ msg_id }) => !this.byId.has(msg_id));
    this.messages.splice(where, 0, ...fresh);
    for (const message of fresh) this.byId.set(message.msg_id, message);
    this.#note(fresh);
  }

  /** Take out a stretch at one end: it can be loaded again. @param {number} from @param {number} until */
  #cut(from, until) {
    for (const { msg_id } of this.messages.splice(from, until - from)) this.byId.delete(msg_id);
    if (from === 0) this.previous = this.messages[0]?.msg_id;
    else this.isAtEnd = false;
  }

  /** What came live while the end was not held follows what is held now. */
  #join() {
    const known = this.#tail.findLastIndex(({ msg_id }) => this.byId.has(msg_id));
    const last = this.messages.at(-1)?.timestamp ?? "";
    const after = this.#tail.slice(known + 1);
    this.#put(known < 0 ? after.filter(({ timestamp }) => timestamp >= last) : after, this.messages.length);
  }

  /** @param {Message[]} messages */
  #note(messages) {
    for (const { msg_id, parents } of messages) {
      for (const parent of parents ?? []) {
        const replies = this.replies.get(parent) ?? new Set();
        this.replies.set(parent, replies.add(msg_id));
      }
    }
  }
}
