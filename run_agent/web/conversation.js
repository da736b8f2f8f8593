/** One open conversation: its log, its stream, and all that a message can be asked for. */

import { list, one, Refused, summary } from "./api.js";
import { isEverything, nameOf } from "./filter.js";
import { isOfRun } from "./kinds.js";
import { Log } from "./log.js";
import { Stream } from "./stream.js";
import { Waiting } from "./waiting.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */
/** @typedef {import("./types.js").Run} Run */
/** @typedef {import("./list.js").List<Message>} MessageList */
/**
 * @typedef {object} Listener
 * @property {(state: import("./stream.js").State, seconds?: number) => void} state
 * @property {(error: Refused) => void} refused
 * @property {(words: string, isEmpty?: boolean) => void} notice  What to say where no message is; "" for nothing.
 * @property {(messages: Message[]) => void} came
 * @property {() => void} changed  Pins, the number of new messages, or how far was read.
 * @property {(summary: import("./types.js").Summary) => void} counted
 * @property {(runId: string) => void} filterRun
 * @property {(msgId: string) => void} filtered  It is wanted, and the filter hides it.
 */
/**
 * @typedef {object} View  What shows it, whichever conversation is open.
 * @property {MessageList} list
 * @property {import("./replying.js").Replying} replying
 * @property {() => {by: string, parts: number}} chart
 */

const RECOUNT = 3_000; // milliseconds between two looks at the numbers
const LOOK_AHEAD = 1_500; // pixels from an end of what is held, at which more is loaded
const RETRY = 2_000;
const MOST_REPLIES = 200;

export class Conversation {
  waiting = new Waiting();
  /** @type {Map<string, Run>} */ runs = new Map();
  isNew = 0;
  /** @type {Set<string>} */ #unfolded = new Set();
  /** @type {Map<string, Message[]>} */ #threads = new Map();
  /** Messages that are mentioned, but not held. @type {Map<string, Message>} */ #others = new Map();
  /** @type {Set<string>} */ #sought = new Set();
  /** @type {Stream | null} */ #stream = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #recount;
  #countedAt = 0;
  /** @type {Promise<void>} */ #opening = Promise.resolve();
  #isClosed = false;

  /**
   * @param {Bus} bus
   * @param {Filter} filter
   * @param {View} view
   * @param {Listener} listener
   */
  constructor(bus, filter, { list, replying, chart }, listener) {
    this.bus = bus;
    this.filter = filter;
    this.list = list;
    this.replying = replying;
    this.chart = chart;
    this.listener = listener;
    this.log = new Log(bus, filter);
  }

  /** Show the newest, or what stands around a message. @param {string} at */
  open(at) {
    this.#opening = this.#open(at);
    return this.#opening;
  }

  /** What the one before knew of the same log, whatever was filtered. @param {Conversation} before */
  takeOver({ waiting, runs }) {
    Object.assign(this, { waiting, runs });
  }

  /** @param {string} at */
  async #open(at) {
    this.listener.notice("Loading…");
    try {
      const after = await this.log.open();
      const isThere = !at || (await this.#hold(at));
      if (this.#isClosed) return;
      this.list.set(this.log.messages, true);
      this.#stream ??= this.#listen(after);
      this.#say();
      this.count();
      if (at && isThere) this.#point(at);
    } catch (error) {
      if (!this.#isClosed) this.#failed(error, () => this.open(at));
    }
  }

  close() {
    this.#isClosed = true;
    this.#stream?.close();
    clearTimeout(this.#recount);
  }

  /** The last id that has come, whether or not it is shown. */
  get last() {
    return this.#stream?.after;
  }

  /** The numbers, now. */
  async count() {
    clearTimeout(this.#recount);
    this.#recount = undefined;
    this.#countedAt = Date.now();
    const { by, parts } = this.chart();
    try {
      const about = await summary(this.bus, this.filter, by, parts);
      if (this.#isClosed) return;
      this.#knowRuns(about.runs);
      this.list.refresh(this.waiting.take(about.unanswered));
      this.listener.counted(about);
      this.listener.changed();
    } catch (error) {
      if (error instanceof Refused) this.#countSoon();
      else throw error;
    }
  }

  /** The reader has moved: load what comes next, in either direction. */
  async moved() {
    const { above, below } = this.list.room;
    if (this.list.isFollowing && this.log.isAtEnd) this.isNew = 0;
    this.listener.changed();
    try {
      if (above < LOOK_AHEAD && (await this.log.older())) this.#show();
      else if (below < LOOK_AHEAD && (await this.log.newer())) this.#show();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.listener.refused(error);
    }
  }

  /** To the live end. */
  async toEnd() {
    if (!this.log.isAtEnd) {
      await this.log.open();
      this.list.set(this.log.messages, true);
    }
    this.isNew = 0;
    this.list.toEnd();
  }

  /** Show a message. False where it is not in the log at all. @param {string} msgId */
  async jump(msgId) {
    await this.#opening;
    const wasHeld = this.log.byId.has(msgId);
    const isThere = await this.#hold(msgId);
    if (this.#isClosed || !this.log.byId.has(msgId)) return isThere;
    if (!wasHeld) this.list.set(this.log.messages, true);
    this.#point(msgId);
    return true;
  }

  /** Have a message among those that are held. False, and said, where it is not in the log. @param {string} msgId */
  async #hold(msgId) {
    if (this.log.byId.has(msgId)) return true;
    try {
      await this.log.openAt(msgId);
      if (!this.log.byId.has(msgId) && !this.#isClosed && !isEverything(this.filter)) this.listener.filtered(msgId);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const isGone = error.status === 404;
      this.listener.refused(isGone ? new Refused(404, "That message is not in this log") : error);
      return !isGone;
    }
  }

  /** @returns {import("./message.js").Context} */
  context() {
    return {
      bus: this.bus,
      isUnanswered: ({ msg_id }) => this.waiting.messages.has(msg_id),
      find: (msgId) => this.#find(msgId),
      run: (runId) => this.runs.get(runId),
      countReplies: (msgId) => this.log.countReplies(msgId),
      thread: (msgId) => this.#threads.get(msgId),
      isUnfolded: (msgId) => this.#unfolded.has(msgId),
      unfold: (msgId) => this.unfold(msgId),
      toggleThread: (msgId) => this.toggleThread(msgId),
      jump: (msgId) => this.jump(msgId),
      reply: (message) => this.reply(message),
      replyForm: (msgId, within) => (this.#threadOf(msgId) === within ? this.replying.form(msgId) : null),
      filterRun: (runId) => this.listener.filterRun(runId),
    };
  }

  /** @param {string} msgId */
  unfold(msgId) {
    if (!this.#unfolded.delete(msgId)) this.#unfolded.add(msgId);
    this.list.leaveEnd(); // who unfolds the last message reads on from where it was cut
    this.#again(msgId);
  }

  /** @param {string} msgId */
  async toggleThread(msgId) {
    if (this.#threads.delete(msgId)) return this.#again(msgId);
    const page = await list(this.bus, { parent: msgId, first: MOST_REPLIES });
    this.#threads.set(msgId, page.messages);
    for (const message of page.messages) this.#others.set(message.msg_id, message);
    this.#again(msgId);
  }

  /** Write below this message. @param {Message} message */
  reply(message) {
    if (this.#isClosed) return;
    const before = this.replying.message;
    this.replying.open(this.bus, message);
    if (before) this.#again(before.msg_id);
    this.#again(message.msg_id);
    this.list.reveal(this.#rowOf(message.msg_id));
    this.replying.composer.focus();
    this.listener.changed();
  }

  /** Write below a message that may have to be loaded first. @param {string} msgId */
  async replyTo(msgId) {
    await this.#opening;
    const message = this.log.byId.get(msgId);
    if (message) this.reply(message);
  }

  /** Nobody writes below it any more. @param {Message} message */
  stopReplying({ msg_id }) {
    this.#again(msg_id);
    this.focus(msg_id);
    this.listener.changed();
  }

  /** Is the form below this message, where one can see it or scroll to it? @param {string} msgId */
  isReplyingTo(msgId) {
    return this.replying.message?.msg_id === msgId && this.list.has(this.#rowOf(msgId));
  }

  /** @param {string} msgId */
  focus(msgId) {
    const key = this.#rowOf(msgId);
    this.list.reveal(key);
    const article = this.list.row(key)?.querySelector(`[data-id="${CSS.escape(msgId)}"]`);
    if (article instanceof HTMLElement) article.focus({ preventScroll: true });
  }

  // --- the live end ---

  /** @param {string | undefined} after */
  #listen(after) {
    return new Stream(this.bus, after, {
      messages: (messages) => this.#came(messages),
      state: (state, seconds) => this.listener.state(state, seconds),
      reset: () => this.#reset(),
      refused: () => this.count(), // a stream does not say why; this does
    });
  }

  /** @param {Message[]} messages */
  #came(messages) {
    const wasFollowing = this.list.isFollowing;
    const isShown = this.log.isAtEnd;
    const added = this.log.add(messages, wasFollowing);
    if (added.length) this.#show();
    if (!wasFollowing || document.hidden || !isShown) this.isNew += isShown ? added.length : messages.length;
    this.#settle(messages);
    this.#say();
    this.listener.came(added);
    this.listener.changed();
    this.#countSoon();
  }

  /** What new messages change about older ones. @param {Message[]} messages */
  #settle(messages) {
    const touched = new Set();
    for (const message of messages) {
      for (const id of this.waiting.came(message)) touched.add(id);
      for (const parent of message.parents ?? []) {
        const thread = this.#threads.get(parent);
        if (thread && !thread.some(({ msg_id }) => msg_id === message.msg_id)) thread.push(message);
        touched.add(parent);
        this.#others.set(message.msg_id, message);
      }
    }
    for (const id of touched) this.#again(id);
  }

  /** Nobody knows what was missed: begin with the newest. */
  async #reset() {
    this.listener.refused(new Refused(410, "The file was cut or replaced: this is its newest part"));
    await this.open("");
  }

  /** Lines of runs that ended say for how long they ran. @param {Run[]} runs */
  #knowRuns(runs) {
    const before = this.runs;
    this.runs = new Map(runs.map((run) => [run.run_id, run]));
    const isNews = ({ run_id = "", type = "" }) =>
      isOfRun(type) && before.get(run_id)?.started !== this.runs.get(run_id)?.started;
    this.list.refresh(this.log.messages.filter(isNews).map(({ msg_id }) => msg_id));
  }

  #countSoon() {
    const wait = Math.max(100, RECOUNT - (Date.now() - this.#countedAt));
    this.#recount ??= setTimeout(() => this.count(), wait);
  }

  // --- what is shown ---

  #show() {
    this.list.set(this.log.messages);
    this.#say();
  }

  #say() {
    const isFiltered =
      this.filter.types.length || this.filter.run || this.filter.text || this.filter.from || this.filter.until;
    if (this.log.messages.length) this.listener.notice("");
    else if (isFiltered && this.log.previous) this.listener.notice("Looking further back…");
    else if (isFiltered) this.listener.notice("No message fits this filter.");
    else
      this.listener.notice(`Nothing in ${nameOf(this.bus)} yet. Post your first message below, or from a shell:`, true);
  }

  /** @param {string} msgId */
  #point(msgId) {
    this.list.reveal(msgId, true);
    const article = this.list.row(msgId)?.querySelector("article");
    if (!(article instanceof HTMLElement)) return;
    article.focus({ preventScroll: true });
    article.classList.remove("pointed");
    requestAnimationFrame(() => article.classList.add("pointed"));
  }

  /** Make the row of a message anew, but not under the hands of somebody who writes there. @param {string} msgId */
  #again(msgId) {
    const key = this.#rowOf(msgId);
    const row = this.list.row(key);
    if (!row) return;
    const active = document.activeElement;
    if (active instanceof HTMLTextAreaElement && row.contains(active) && this.replying.message) return;
    const focused = row.contains(active) ? active?.closest("article")?.getAttribute("data-id") : null;
    this.list.refresh([key]);
    const again = focused && this.list.row(key)?.querySelector(`[data-id="${CSS.escape(focused)}"]`);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }

  /** The row in which a message is shown: its own, or that of a thread it is in. @param {string} msgId @returns {string} */
  #rowOf(msgId) {
    const root = this.#threadOf(msgId);
    return root && root !== msgId ? this.#rowOf(root) : msgId;
  }

  /** In whose thread a message is shown that has no row of its own. @param {string} msgId */
  #threadOf(msgId) {
    if (this.log.byId.has(msgId)) return undefined;
    return [...this.#threads].find(([, thread]) => thread.some((message) => message.msg_id === msgId))?.[0];
  }

  /** A message that another one mentions; looked up once where it is not held. @param {string} msgId */
  #find(msgId) {
    const found = this.log.byId.get(msgId) ?? this.#others.get(msgId);
    if (!found && !this.#sought.has(msgId)) {
      this.#sought.add(msgId);
      this.#lookUp(msgId);
    }
    return found;
  }

  /** @param {string} msgId */
  async #lookUp(msgId) {
    const message = await one(this.bus, msgId).catch(() => null);
    if (!message || this.#isClosed) return;
    this.#others.set(msgId, message);
    const mentioning = this.log.messages.filter(({ parents }) => parents?.includes(msgId));
    for (const { msg_id } of mentioning) this.#again(msg_id);
  }

  /** @param {unknown} error @param {() => void} again */
  #failed(error, again) {
    if (!(error instanceof Refused)) throw error;
    this.listener.refused(error);
    this.listener.notice(
      error.status === 0 ? "The server does not answer. Trying again…" : `This cannot be shown: ${error.message}`,
    );
    if (error.status === 0 || error.status >= 500) {
      this.listener.state("offline", RETRY / 1000);
      setTimeout(() => this.#isClosed || again(), RETRY);
    }
  }
}
