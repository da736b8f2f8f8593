/**
 * The part of a conversation that is loaded: a window on the log without gaps. It grows at both ends by result pages,
 * and at the newest end by the stream. It knows nothing about how messages are displayed.
 */

import { fetchMessages, filterQuery } from "../lib/api.js";
import { isUnfiltered, matchesFilter } from "./filter.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Message} Message */

const PAGE = 100; // messages in a result page
const MAX_LOADED = 3_000; // messages; what is dropped can be loaded again
const MAX_TAIL = 1_000; // recent messages of the stream, kept to bridge the time while a result page is loading

export class MessageWindow {
  /** @type {Message[]} */ messages = [];
  /** @type {Map<string, Message>} */ byId = new Map();
  /** The cursor for older messages; undefined at the start of the log. @type {string | undefined} */ previous;
  isAtEnd = false; // does the window reach the newest message?
  /** Ids of the loaded replies to each message. @type {Map<string, Set<string>>} */ #replies = new Map();
  /** How many replies each message has, according to the server. @type {Map<string, number>} */ #replyCounts =
    new Map();
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

  // API

  /**
   * Load the newest messages. Returns the cursor at which the stream has to start: the newest message before the
   * request, whether or not it matches the filter.
   */
  async open() {
    const newest = isUnfiltered(this.filter) ? undefined : await fetchMessages(this.bus, { limit: 1 });
    const page = await this.#fetchPage({ limit: PAGE });
    this.#replaceAll(page.messages);
    this.previous = page.previous;
    this.isAtEnd = true;
    this.#appendTail();
    return (newest ?? page).next;
  }

  /** Load the messages around this one. @param {string} msgId */
  async openAt(msgId) {
    const before = await this.#fetchPage({ before: msgId, limit: PAGE });
    const last = before.messages.at(-1)?.msg_id;
    const after = await this.#fetchPage(last ? { after: last, first: PAGE } : { first: PAGE });
    this.#replaceAll([...before.messages, ...after.messages]);
    this.previous = before.previous;
    this.isAtEnd = after.messages.length < PAGE;
    if (this.isAtEnd) this.#appendTail();
  }

  /** Load older messages. False if there are none, or a page is already loading. */
  async loadOlder() {
    if (!this.previous || this.#isLoading) return false;
    return this.#load(async (before) => {
      const page = await this.#fetchPage({ before, limit: PAGE });
      this.#insert(page.messages, 0);
      this.previous = page.previous;
      if (this.messages.length > MAX_LOADED) this.#drop(MAX_LOADED, this.messages.length);
    }, this.previous);
  }

  /** Load newer messages. False if there are none, or a page is already loading. */
  async loadNewer() {
    const last = this.messages.at(-1);
    if (this.isAtEnd || this.#isLoading || !last) return false;
    return this.#load(async (after) => {
      const page = await this.#fetchPage({ after, first: PAGE });
      this.#insert(page.messages, this.messages.length);
      if (page.messages.length < PAGE) {
        this.isAtEnd = true;
        this.#appendTail();
      }
      if (this.messages.length > MAX_LOADED) this.#drop(0, this.messages.length - MAX_LOADED);
    }, last.msg_id);
  }

  /**
   * Add messages from the stream.
   * @param {Message[]} messages
   * @param {boolean} isFollowing the user is at the newest end, so old messages may be dropped
   * @returns {Message[]} those that are in the window now
   */
  add(messages, isFollowing) {
    const matching = messages.filter(
      (message) => matchesFilter(message, this.filter) && !this.byId.has(message.msg_id),
    );
    this.#countRepliesIn(messages);
    this.#tail = [...this.#tail, ...matching].slice(-MAX_TAIL);
    if (!this.isAtEnd) return [];
    this.#insert(matching, this.messages.length);
    const surplus = this.messages.length - MAX_LOADED;
    if (surplus > 0 && isFollowing) this.#drop(0, surplus);
    else if (surplus > PAGE) this.#drop(MAX_LOADED, this.messages.length);
    return matching;
  }

  /** How many replies a message has. @param {string} msgId */
  replyCount(msgId) {
    return Math.max(this.#replies.get(msgId)?.size ?? 0, this.#replyCounts.get(msgId) ?? 0);
  }

  // Internal

  /** @param {Record<string, string | number>} query */
  async #fetchPage(query) {
    const page = await fetchMessages(this.bus, {
      ...query,
      ...(isUnfiltered(this.filter) ? {} : filterQuery(this.filter)),
    });
    for (const [msgId, count] of Object.entries(page.replies ?? {})) this.#replyCounts.set(msgId, count);
    return page;
  }

  /**
   * @param {(cursor: string) => Promise<void>} load
   * @param {string} cursor
   */
  async #load(load, cursor) {
    this.#isLoading = true;
    try {
      await load(cursor);
      return true;
    } finally {
      this.#isLoading = false;
    }
  }

  /** @param {Message[]} messages */
  #replaceAll(messages) {
    this.messages = [];
    this.byId.clear();
    this.#insert(messages, 0);
  }

  /**
   * @param {Message[]} messages
   * @param {number} index
   */
  #insert(messages, index) {
    const added = messages.filter(({ msg_id }) => !this.byId.has(msg_id));
    this.messages.splice(index, 0, ...added);
    for (const message of added) this.byId.set(message.msg_id, message);
    this.#countRepliesIn(added);
  }

  /** Drop messages at one end; they can be loaded again. @param {number} start @param {number} end */
  #drop(start, end) {
    for (const { msg_id } of this.messages.splice(start, end - start)) this.byId.delete(msg_id);
    if (start === 0) this.previous = this.messages[0]?.msg_id;
    else this.isAtEnd = false;
  }

  /** Append the recent messages of the stream that arrived while the window did not reach the end. */
  #appendTail() {
    const known = this.#tail.findLastIndex(({ msg_id }) => this.byId.has(msg_id));
    const last = this.messages.at(-1)?.timestamp ?? "";
    const after = this.#tail.slice(known + 1);
    this.#insert(known < 0 ? after.filter(({ timestamp }) => timestamp >= last) : after, this.messages.length);
  }

  /** @param {Message[]} messages */
  #countRepliesIn(messages) {
    for (const { msg_id, parents } of messages) {
      for (const parent of parents ?? []) {
        const replies = this.#replies.get(parent) ?? new Set();
        this.#replies.set(parent, replies.add(msg_id));
      }
    }
  }
}
