/** The keyboard shortcuts of the page. Those that act on a message act on the focused one. */

import { byId } from "../lib/dom.js";
import { listenForShortcuts } from "../lib/shortcuts.js";
import { NO_FILTER } from "../model/filter.js";
import { closeDrawers } from "./drawers.js";
import { copyLink } from "./message-view.js";

/** @typedef {import("./conversation.js").Conversation} Conversation */
/** @typedef {import("../types.js").Message} Message */
/**
 * @typedef {object} Page
 * @property {() => Conversation | null} conversation
 * @property {import("./virtual-list.js").VirtualList<Message>} list
 * @property {import("./composer.js").Composer} composer
 * @property {import("./sidebar.js").Sidebar} sidebar
 * @property {(change: Partial<import("../types.js").Filter>) => void} changeFilter
 * @property {(msgId: string) => void} answer
 */

/** @param {Page} page */
export const setUpKeyboard = (page) => listenForShortcuts([...messageShortcuts(page), ...pageShortcuts(page)]);

/** @param {Page} page @returns {import("../lib/shortcuts.js").Shortcut[]} */
function messageShortcuts({ conversation: current, list }) {
  /** @param {number} step */
  const focusNext = (step) => () => {
    const key = focusedRow();
    const next = key ? list.neighbour(key, step) : list.firstVisible();
    if (next) current()?.rows.focus(next);
  };
  /** @param {(message: Message, conversation: Conversation) => void} act */
  const onFocused = (act) => () => {
    const conversation = current();
    const id = focusedId();
    const message = id && conversation?.threads.find(id);
    if (conversation && message) act(message, conversation);
  };
  return [
    { keys: ["j", "ArrowDown"], label: "next message", run: focusNext(1) },
    { keys: ["k", "ArrowUp"], label: "previous message", run: focusNext(-1) },
    { keys: ["G", "End"], label: "newest message", run: () => current()?.scrollToEnd() },
    { keys: ["g", "Home"], label: "oldest loaded message", run: () => current()?.rows.focus(list.firstKey ?? "") },
    {
      keys: ["Enter", "o"],
      label: "unfold or fold the message",
      run: onFocused(({ msg_id }, conversation) => conversation.toggleFold(msg_id)),
    },
    {
      keys: ["t"],
      label: "show or hide its replies",
      run: onFocused(({ msg_id }, conversation) => conversation.toggleThread(msg_id)),
    },
    {
      keys: ["p"],
      label: "go to the message it replies to",
      run: onFocused(({ parents }, conversation) => parents?.length && conversation.jumpTo(parents[0])),
    },
    { keys: ["r"], label: "reply to it", run: onFocused((message, conversation) => conversation.reply(message)) },
    {
      keys: ["y"],
      label: "copy a link to it",
      run: onFocused((message, conversation) => copyLink(message, conversation.context())),
    },
  ];
}

/** @param {Page} page @returns {import("../lib/shortcuts.js").Shortcut[]} */
function pageShortcuts({ conversation: current, composer, sidebar, changeFilter, answer }) {
  /** @param {number} step @param {boolean} [isUnread] */
  const openNext = (step, isUnread) => () => {
    const route = sidebar.next(step, isUnread);
    if (route) location.hash = route;
  };
  const answerNewest = () => {
    const newest = [...(current()?.unanswered.messages.keys() ?? [])].at(-1);
    if (newest) answer(newest);
  };
  return [
    { keys: ["c", "n"], label: "write a message (Ctrl+Enter posts it)", run: () => composer.focus() },
    { keys: ["/"], label: "filter by text", run: () => byId("text").focus() },
    { keys: ["x"], label: "clear the filter", run: () => changeFilter(NO_FILTER) },
    { keys: ["a"], label: "answer the newest unanswered message", run: answerNewest },
    { keys: ["b"], label: "find a conversation", run: () => byId("find-bus").focus() },
    { keys: ["]"], label: "next conversation", run: openNext(1) },
    { keys: ["["], label: "previous conversation", run: openNext(-1) },
    { keys: ["u"], label: "next conversation with unread messages", run: openNext(1, true) },
    { keys: ["h"], label: "show or hide the chart", run: () => byId("chart-button").click() },
    { keys: ["w"], label: "show or hide the runs", run: () => byId("runs-button").click() },
    { keys: ["Escape"], label: "close or leave the current element", run: leave },
  ];
}

const focusedArticle = () => document.activeElement?.closest("article");
const focusedId = () => focusedArticle()?.getAttribute("data-id") ?? "";
const focusedRow = () => focusedArticle()?.closest("[data-key]")?.getAttribute("data-key") ?? "";

function leave() {
  closeDrawers();
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}
