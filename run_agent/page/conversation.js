/** One open conversation: its log, its stream, and all that a message can be asked for. */

import { list, one, Refused, summary } from "./api.js";
import { Composer } from "./composer.js";
import { make } from "./dom.js";
import { nameOf } from "./filter.js";
import { answered, isAsking, isOfRun } from "./kinds.js";
import { Log } from "./log.js";
import { Stream } from "./stream.js";

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
 * @property {(message: {body: string, type: string, parents: import("./types.js").Relation[]}) => void} send
 */

const RECOUNT = 3_000; // milliseconds between two looks at the numbers
const LOOK_AHEAD = 1_500; // pixels from an end of what is held, at which more is loaded
const RETRY = 2_000;
const MOST_REPLIES = 200;

export class Conversation {
  /** @type {Map<string, Message>} */ unanswered = new Map();
  /** @type {Map<string, Run>} */ runs = new Map();
  waiting = 0; // how many are unanswered; the oldest of very many are not held
  isNew = 0;
  /** @type {Set<string>} */ #unfolded = new Set();
  /** @type {Map<string, Message[]>} */ #threads = new Map();
  /** Messages that are mentioned, but not held. @type {Map<string, Message>} */ #others = new Map();
  /** @type {Set<string>} */ #sought = new Set();
  /** @type {Stream | null} */ #stream = null;
  /** @type {Message | null} */ #replyingTo = null;
  /** @type {Composer | null} */ #replier = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #recount;
  #countedAt = 0;
  /** @type {Promise<void>} */ #opening = Promise.resolve();
  #isClosed = false;

  /**
   * @param {Bus} bus
   * @param {Filter} filter
   * @param {MessageList} shown
   * @param {() => {by: string, parts: number}} chart
   * @param {Listener} listener
   */
  constructor(bus, filter, shown, chart, listener) {
    this.bus = bus;
    this.filter = filter;
    this.list = shown;
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
  takeOver({ unanswered, waiting, runs }) {
    Object.assign(this, { unanswered, waiting, runs });
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
      this.waiting = about.unanswered.count;
      const before = [...this.unanswered.keys()];
      this.unanswered = new Map(about.unanswered.messages.map((message) => [message.msg_id, message]));
      this.list.refresh(
        [...before, ...this.unanswered.keys()].filter((id) => before.includes(id) !== this.unanswered.has(id)),
      );
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

  /** @param {string} msgId */
  async jump(msgId) {
    await this.#opening;
    const wasHeld = this.log.byId.has(msgId);
    if (!(await this.#hold(msgId))) return;
    if (!wasHeld) this.list.set(this.log.messages, true);
    this.#point(msgId);
  }

  /** Have a message among those that are held; false, and said, where it cannot be. @param {string} msgId */
  async #hold(msgId) {
    if (this.log.byId.has(msgId)) return true;
    try {
      await this.log.openAt(msgId);
      return this.log.byId.has(msgId);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.listener.refused(error.status === 404 ? new Refused(404, "That message is not in this log") : error);
      return false;
    }
  }

  /** @returns {import("./message.js").Context} */
  context() {
    return {
      bus: this.bus,
      isUnanswered: ({ msg_id }) => this.unanswered.has(msg_id),
      find: (msgId) => this.#find(msgId),
      run: (runId) => this.runs.get(runId),
      countReplies: (msgId) => this.log.countReplies(msgId),
      thread: (msgId) => this.#threads.get(msgId),
      isUnfolded: (msgId) => this.#unfolded.has(msgId),
      unfold: (msgId) => this.unfold(msgId),
      toggleThread: (msgId) => this.toggleThread(msgId),
      jump: (msgId) => this.jump(msgId),
      reply: (message) => this.reply(message),
      replyForm: (msgId) => (this.#replyingTo?.msg_id === msgId ? (this.#replier?.form ?? null) : null),
      filterRun: (runId) => this.listener.filterRun(runId),
    };
  }

  /** @param {string} msgId */
  unfold(msgId) {
    if (!this.#unfolded.delete(msgId)) this.#unfolded.add(msgId);
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
    const before = this.#replyingTo;
    this.#replier ??= new Composer(
      /** @type {HTMLFormElement} */ (make("form.composer.in-place", { "aria-label": "Reply" })),
      (reply) => {
        this.#stopReplying();
        this.listener.send(reply);
      },
      () => this.#stopReplying(),
    );
    this.#replyingTo = message;
    this.#replier.replyTo(message);
    if (before) this.#again(before.msg_id);
    this.#again(message.msg_id);
    this.list.reveal(this.#rowOf(message.msg_id));
    this.#replier.focus();
  }

  #stopReplying() {
    const before = this.#replyingTo;
    this.#replyingTo = null;
    if (!before) return;
    this.#again(before.msg_id);
    this.focus(before.msg_id);
  }

  /** @param {string} msgId */
  focus(msgId) {
    this.list.reveal(msgId);
    const row = this.list.row(msgId)?.querySelector("article");
    if (row instanceof HTMLElement) row.focus({ preventScroll: true });
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
      for (const id of answered(message)) if (this.#settled(id)) touched.add(id);
      if (isAsking(message.type)) this.#asked(message);
      for (const parent of message.parents ?? []) {
        const thread = this.#threads.get(parent);
        if (thread && !thread.some(({ msg_id }) => msg_id === message.msg_id)) thread.push(message);
        touched.add(parent);
        this.#others.set(message.msg_id, message);
      }
    }
    for (const id of touched) this.#again(id);
  }

  /** @param {Message} message */
  #asked(message) {
    if (!this.unanswered.has(message.msg_id)) this.waiting += 1;
    this.unanswered.set(message.msg_id, message);
  }

  /** @param {string} msgId */
  #settled(msgId) {
    if (!this.unanswered.delete(msgId)) return false;
    this.waiting -= 1;
    return true;
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
    if (active instanceof HTMLTextAreaElement && row.contains(active) && this.#replyingTo) return;
    const focused = row.contains(active) ? active?.closest("article")?.getAttribute("data-id") : null;
    this.list.refresh([key]);
    const again = focused && this.list.row(key)?.querySelector(`[data-id="${CSS.escape(focused)}"]`);
    if (again instanceof HTMLElement) again.focus({ preventScroll: true });
  }

  /** The row in which a message is shown: its own, or that of a thread it is in. @param {string} msgId @returns {string} */
  #rowOf(msgId) {
    if (this.log.byId.has(msgId)) return msgId;
    const root = [...this.#threads].find(([, thread]) => thread.some((message) => message.msg_id === msgId))?.[0];
    return root && root !== msgId ? this.#rowOf(root) : msgId;
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
