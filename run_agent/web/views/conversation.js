/**
 * One open conversation. It loads the message window, follows the stream, keeps the list up to date with both, and
 * carries out what the user does with its messages. What belongs to the rest of the page it reports to a listener.
 */

import { ApiError } from "../lib/api.js";
import { isUnfiltered } from "../model/filter.js";
import { MessageWindow } from "../model/message-window.js";
import { changedRunEvents } from "../model/runs.js";
import { MessageStream } from "../model/stream.js";
import { SummaryPoll } from "../model/summary-poll.js";
import { Threads } from "../model/threads.js";
import { Unanswered } from "../model/unanswered.js";
import { announce } from "./announcer.js";
import { showConnectionState } from "./connection-state.js";
import { MessageRows } from "./message-rows.js";
import { showEmptyNotice, showNotice } from "./notice.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Message} Message */
/** @typedef {import("../types.js").Run} Run */
/** @typedef {import("../types.js").Summary} Summary */
/**
 * @typedef {object} Listener
 * @property {(error: ApiError) => void} onError
 * @property {() => void} onChange  Of the unanswered messages, the new messages, or the position.
 * @property {(summary: Summary) => void} onSummary
 * @property {(runId: string) => void} onRunChosen
 * @property {(msgId: string) => void} onHiddenByFilter  The user wants a message that the filter hides.
 */
/**
 * @typedef {object} View  The parts of the page that every open conversation uses in turn.
 * @property {import("./virtual-list.js").VirtualList<Message>} list
 * @property {import("./reply-form.js").ReplyForm} replyForm
 * @property {() => {by: string, parts: number}} histogram
 */

const LOAD_AHEAD = 1_500; // pixels from an end of the window at which more is loaded
const RETRY = 2_000; // milliseconds

export class Conversation {
  unanswered = new Unanswered();
  /** @type {Map<string, Run>} */ runs = new Map();
  newCount = 0;
  /** Ids of messages shown in full. @type {Set<string>} */ #unfolded = new Set();
  /** @type {MessageStream | null} */ #stream = null;
  /** @type {Promise<void>} */ #opening = Promise.resolve();
  #isClosed = false;

  /**
   * @param {Bus} bus
   * @param {Filter} filter
   * @param {View} view
   * @param {Listener} listener
   */
  constructor(bus, filter, { list, replyForm, histogram }, listener) {
    this.bus = bus;
    this.filter = filter;
    this.list = list;
    this.replyForm = replyForm;
    this.listener = listener;
    this.window = new MessageWindow(bus, filter);
    this.threads = new Threads(bus, this.window, (msgId) => {
      if (!this.#isClosed) this.rows.refreshMentioning(msgId, this.window.messages);
    });
    this.rows = new MessageRows(list, this.threads, replyForm);
    this.summary = new SummaryPoll(bus, filter, histogram, (summary) => this.#summarized(summary));
  }

  // API

  /** Show the newest messages, or those around one. @param {string} msgId "" for the newest */
  open(msgId) {
    this.#opening = this.#open(msgId);
    return this.#opening;
  }

  close() {
    this.#isClosed = true;
    this.#stream?.close();
    this.summary.close();
  }

  /** Take over what another filter has learned about the same bus. @param {Conversation} previous */
  inherit({ unanswered, runs }) {
    Object.assign(this, { unanswered, runs });
  }

  /** The id of the newest message, whether or not the filter shows it. */
  get lastId() {
    return this.#stream?.after;
  }

  /** Is the newest message in view? */
  get isAtEnd() {
    return this.list.isFollowing && this.window.isAtEnd;
  }

  /** The user has scrolled, or the list has changed: load more near an end of the window. */
  async scrolled() {
    const { above, below } = this.list.room;
    if (this.isAtEnd) this.newCount = 0;
    this.listener.onChange();
    try {
      if (above < LOAD_AHEAD && (await this.window.loadOlder())) this.#show();
      else if (below < LOAD_AHEAD && (await this.window.loadNewer())) this.#show();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.listener.onError(error);
    }
  }

  async scrollToEnd() {
    if (!this.window.isAtEnd) {
      await this.window.open();
      this.list.set(this.window.messages, true);
    }
    this.newCount = 0;
    this.list.scrollToEnd();
  }

  /** Scroll to a message. False if the log does not contain it. @param {string} msgId */
  async jumpTo(msgId) {
    await this.#opening;
    const wasLoaded = this.window.byId.has(msgId);
    const exists = await this.#load(msgId);
    if (this.#isClosed || !this.window.byId.has(msgId)) return exists;
    if (!wasLoaded) this.list.set(this.window.messages, true);
    this.rows.highlight(msgId);
    return true;
  }

  /** What a message view needs. @returns {import("./message-view.js").Context} */
  context() {
    return {
      bus: this.bus,
      isUnanswered: ({ msg_id }) => this.unanswered.messages.has(msg_id),
      find: (msgId) => this.threads.find(msgId),
      run: (runId) => this.runs.get(runId),
      replyCount: (msgId) => this.window.replyCount(msgId),
      thread: (msgId) => this.threads.replies(msgId),
      isUnfolded: (msgId) => this.#unfolded.has(msgId),
      toggleFold: (msgId) => this.toggleFold(msgId),
      toggleThread: (msgId) => this.toggleThread(msgId),
      jumpTo: (msgId) => this.jumpTo(msgId),
      reply: (message) => this.reply(message),
      // A message can be in two places, its own row and a thread; the form is in one of them.
      replyForm: (msgId, parent) => (this.threads.parentOf(msgId) === parent ? this.replyForm.formFor(msgId) : null),
      chooseRun: (runId) => this.listener.onRunChosen(runId),
    };
  }

  /** @param {string} msgId */
  toggleFold(msgId) {
    if (!this.#unfolded.delete(msgId)) this.#unfolded.add(msgId);
    this.list.stopFollowing(); // stay where the fold was: the rest is read from there
    this.rows.refresh(msgId);
  }

  /** @param {string} msgId */
  async toggleThread(msgId) {
    await this.threads.toggle(msgId);
    this.rows.refresh(msgId);
  }

  /** Open the reply form below a message. @param {Message} message */
  reply(message) {
    if (this.#isClosed) return;
    this.rows.openReplyForm(this.bus, message);
    this.listener.onChange();
  }

  /** Open the reply form below a message of the window, once it has loaded. @param {string} msgId */
  async replyTo(msgId) {
    await this.#opening;
    const message = this.window.byId.get(msgId);
    if (message) this.reply(message);
  }

  /** The reply form below this message has been closed. @param {Message} message */
  replyFormClosed({ msg_id }) {
    this.rows.refresh(msg_id);
    this.rows.focus(msg_id);
    this.listener.onChange();
  }

  // Internal: opening

  /** @param {string} msgId */
  async #open(msgId) {
    showNotice("Loading…");
    try {
      const after = await this.window.open();
      const exists = !msgId || (await this.#load(msgId));
      if (this.#isClosed) return;
      this.list.set(this.window.messages, true);
      this.#stream ??= this.#connect(after);
      this.#showNotice();
      this.summary.fetch();
      if (msgId && exists) this.rows.highlight(msgId);
    } catch (error) {
      if (!this.#isClosed) this.#failed(error, () => this.open(msgId));
    }
  }

  /** Load the window around a message. Reports and returns false if the log does not contain it. @param {string} msgId */
  async #load(msgId) {
    if (this.window.byId.has(msgId)) return true;
    try {
      await this.window.openAt(msgId);
      const isHidden = !this.window.byId.has(msgId) && !isUnfiltered(this.filter);
      if (isHidden && !this.#isClosed) this.listener.onHiddenByFilter(msgId);
      return true;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const isGone = error.status === 404;
      this.listener.onError(isGone ? new ApiError(404, "This log does not contain that message") : error);
      return !isGone;
    }
  }

  /** @param {unknown} error @param {() => void} retry */
  #failed(error, retry) {
    if (!(error instanceof ApiError)) throw error;
    this.listener.onError(error);
    showNotice(
      error.status === 0 ? "The server does not respond. Retrying…" : `Cannot show this conversation: ${error.message}`,
    );
    if (error.status === 0 || error.status >= 500) {
      showConnectionState("offline", RETRY / 1000);
      setTimeout(() => this.#isClosed || retry(), RETRY);
    }
  }

  // Internal: new messages

  /** @param {string | undefined} after */
  #connect(after) {
    return new MessageStream(this.bus, after, {
      onMessages: (messages) => this.#received(messages),
      onState: showConnectionState,
      onReset: () => this.#reset(),
      onRepeatedFailure: () => this.summary.fetch(),
    });
  }

  /** @param {Message[]} messages */
  #received(messages) {
    const wasFollowing = this.list.isFollowing;
    const isShown = this.window.isAtEnd;
    const added = this.window.add(messages, wasFollowing);
    if (added.length) this.#show();
    if (!wasFollowing || document.hidden || !isShown) this.newCount += isShown ? added.length : messages.length;
    this.#updateOlder(messages);
    this.#showNotice();
    announce(added);
    this.listener.onChange();
    this.summary.fetchSoon();
  }

  /** Update the messages that new ones answer or reply to. @param {Message[]} messages */
  #updateOlder(messages) {
    const changed = new Set();
    for (const message of messages) {
      for (const id of this.unanswered.add(message)) changed.add(id);
      for (const parent of message.parents ?? []) changed.add(parent);
      this.threads.add(message);
    }
    for (const id of changed) this.rows.refresh(id);
  }

  /** The log no longer contains the last id, so messages may be missing: start again at the newest. */
  async #reset() {
    this.listener.onError(new ApiError(410, "The file was cut or replaced; these are its newest messages"));
    await this.open("");
  }

  /** @param {Summary} summary */
  #summarized(summary) {
    const before = this.runs;
    this.runs = new Map(summary.runs.map((run) => [run.run_id, run]));
    this.list.refresh(changedRunEvents(this.window.messages, before, this.runs));
    this.list.refresh(this.unanswered.replace(summary.unanswered));
    this.listener.onSummary(summary);
    this.listener.onChange();
  }

  // Internal: display

  #show() {
    this.list.set(this.window.messages);
    this.#showNotice();
  }

  #showNotice() {
    if (this.window.messages.length) showNotice("");
    else showEmptyNotice(this.bus, !isUnfiltered(this.filter), Boolean(this.window.previous));
  }
}
