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
export function setUpKeyboard(page) {
  const { list, composer, changeFilter } = page;
  /** @param {(conversation: Conversation) => void} act */
  const inConversation = (act) => () => {
    const conversation = page.conversation();
    if (conversation) act(conversation);
  };
  /** @param {(message: Message, conversation: Conversation) => void} act */
  const onMessage = (act) =>
    inConversation((conversation) => {
      const id = focusedId();
      const message = id && conversation.threads.find(id);
      if (message) act(message, conversation);
    });
  /** @param {number} step */
  const focusNext = (step) =>
    inConversation((conversation) => {
      const key = focusedRow();
      const next = key ? list.neighbour(key, step) : list.firstVisible();
      if (next) conversation.rows.focus(next);
    });
  /** @param {number} step @param {boolean} [isUnread] */
  const openNext = (step, isUnread) => () => {
    const route = page.sidebar.next(step, isUnread);
    if (route) location.hash = route;
  };
  listenForShortcuts([
    { keys: ["j", "ArrowDown"], label: "next message", run: focusNext(1) },
    { keys: ["k", "ArrowUp"], label: "previous message", run: focusNext(-1) },
    { keys: ["G", "End"], label: "newest message", run: inConversation((conversation) => conversation.scrollToEnd()) },
    {
      keys: ["g", "Home"],
      label: "oldest loaded message",
      run: inConversation((conversation) => conversation.rows.focus(list.firstKey ?? "")),
    },
    {
      keys: ["Enter", "o"],
      label: "unfold or fold the message",
      run: onMessage(({ msg_id }, conversation) => conversation.toggleFold(msg_id)),
    },
    {
      keys: ["t"],
      label: "show or hide its replies",
      run: onMessage(({ msg_id }, conversation) => conversation.toggleThread(msg_id)),
    },
    {
      keys: ["p"],
      label: "go to the message it replies to",
      run: onMessage(({ parents }, conversation) => parents?.length && conversation.jumpTo(parents[0])),
    },
    { keys: ["r"], label: "reply to it", run: onMessage((message, conversation) => conversation.reply(message)) },
    {
      keys: ["y"],
      label: "copy a link to it",
      run: onMessage((message, conversation) => copyLink(message, conversation.context())),
    },
    { keys: ["c", "n"], label: "write a message (Ctrl+Enter posts it)", run: () => composer.focus() },
    { keys: ["/"], label: "filter by text", run: () => byId("text").focus() },
    { keys: ["x"], label: "clear the filter", run: () => changeFilter(NO_FILTER) },
    {
      keys: ["a"],
      label: "answer the newest unanswered question",
      run: inConversation(({ unanswered }) => [...unanswered.messages.keys()].slice(-1).forEach(page.answer)),
    },
    { keys: ["b"], label: "find a conversation", run: () => byId("find-bus").focus() },
    { keys: ["]"], label: "next conversation", run: openNext(1) },
    { keys: ["["], label: "previous conversation", run: openNext(-1) },
    { keys: ["u"], label: "next conversation with unread messages", run: openNext(1, true) },
    { keys: ["h"], label: "show or hide the chart", run: () => byId("chart-button").click() },
    { keys: ["w"], label: "show or hide the runs", run: () => byId("runs-button").click() },
    { keys: ["Escape"], label: "close or leave the current element", run: leave },
  ]);
}

const focusedArticle = () => document.activeElement?.closest("article");
const focusedId = () => focusedArticle()?.getAttribute("data-id") ?? "";
const focusedRow = () => focusedArticle()?.closest("[data-key]")?.getAttribute("data-key") ?? "";

function leave() {
  closeDrawers();
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}
