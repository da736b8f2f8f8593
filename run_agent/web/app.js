/**
 * The page: a client of the REST API in plain ES modules. `model/` holds the state and knows nothing about elements,
 * `views/` show it, `lib/` helps both and knows nothing about either. This module creates the parts, connects them,
 * and opens the conversation that the address names.
 *
 *     types                       the types that several modules share
 *
 *     model/filter                which messages are shown
 *     model/route                 conversation, filter and message in the address
 *     model/message-types         colours, which types need an answer, and what answers them
 *     model/message-window        the loaded part of a conversation
 *     model/stream                new messages, as server-sent events; reconnects and resumes
 *     model/summary-poll          counts, runs, unanswered messages and histogram, fetched now and then
 *     model/threads               replies shown below messages; messages outside the window
 *     model/unanswered            the unanswered messages
 *     model/runs                  which runs are silent
 *     model/drafts                texts that are not posted yet
 *     model/outbox                messages that are being posted
 *     model/read-marks            how far each conversation has been read
 *     model/unread-counts         how many messages of each conversation are unread
 *
 *     views/conversation          the open conversation: connects its models with its views
 *     views/virtual-list          a long list, of which only the visible rows are in the document
 *     views/row-layout            the offsets of its rows
 *     views/message-rows          the rows of the open conversation in that list
 *     views/message-view          one message
 *     views/composer              the form in which a message is written
 *     views/reply-form            the composer below a message
 *     views/outbox-view           posts that are being sent or have failed
 *     views/sidebar               the list of conversations
 *     views/filter-bar            the controls of the filter
 *     views/chart                 messages over time
 *     views/message-rate          how many messages there are, and how fast they arrive
 *     views/unanswered-list       unanswered messages and drafts of replies
 *     views/runs-panel            the runs
 *     views/connection-state      connected or not
 *     views/notice                the text in place of messages
 *     views/toast                 a short text that disappears
 *     views/announcer             new messages for screen readers
 *     views/sign-in               the dialog for the API key
 *     views/drawers               what can be shown or hidden
 *     views/keyboard              the keyboard shortcuts
 *
 *     lib/api                     every request to the server
 *     lib/markdown                renders bodies: parsed, sanitised, highlighted
 *     lib/markdown-splitter       splits long bodies into chunks
 *     lib/dom                     creating and replacing elements
 *     lib/clipboard               copying
 *     lib/storage                 what the browser stores, shared by its windows
 *     lib/shortcuts               listening for shortcuts, and the list of them
 *     lib/scroll-fade             fading edges of scrolling elements
 *     lib/time                    times and durations in words
 *
 * vendor/ has the libraries, unchanged. There is no build step: browsers load these files as they are, and `tsc` checks
 * the types in the comments.
 */

import { ApiError } from "./lib/api.js";
import { byId, make } from "./lib/dom.js";
import { fadeEdges } from "./lib/scroll-fade.js";
import { Drafts } from "./model/drafts.js";
import { NO_FILTER } from "./model/filter.js";
import { formatRoute, isSameBus, parseRoute } from "./model/route.js";
import { Chart, trimFuture } from "./views/chart.js";
import { Composer } from "./views/composer.js";
import { showConnectionState } from "./views/connection-state.js";
import { Conversation } from "./views/conversation.js";
import { closeDrawers, setUpDrawers } from "./views/drawers.js";
import { FilterBar } from "./views/filter-bar.js";
import { setUpKeyboard } from "./views/keyboard.js";
import { describeRate } from "./views/message-rate.js";
import { messageRow } from "./views/message-view.js";
import { showNotice } from "./views/notice.js";
import { createOutbox } from "./views/outbox-view.js";
import { ReplyForm } from "./views/reply-form.js";
import { showRuns } from "./views/runs-panel.js";
import { Sidebar } from "./views/sidebar.js";
import { showSignIn } from "./views/sign-in.js";
import { showToast } from "./views/toast.js";
import { UnansweredList } from "./views/unanswered-list.js";
import { VirtualList } from "./views/virtual-list.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */

/** @type {Conversation | null} */
let conversation = null;
/** @type {Filter} */
let filter = NO_FILTER;
/** @type {import("./types.js").Summary | null} */
let summary = null;

const filterBar = new FilterBar(changeFilter, () => conversation?.summary.fetch());
const chart = new Chart((from, until) => changeFilter({ from, until }));
const unansweredList = new UnansweredList((msgId) => conversation?.jumpTo(msgId), answer);
const drafts = new Drafts(draftsChanged);
const outbox = createOutbox(showError);
const post = outbox.add.bind(outbox);
const composer = new Composer(/** @type {HTMLFormElement} */ (byId("composer")), drafts, post);
const replyForm = new ReplyForm(drafts, post, (message) => conversation?.replyFormClosed(message));
const list = new VirtualList(byId("log"), {
  key: (/** @type {Message} */ message) => message.msg_id,
  render: (message, before) => messageRow(message, before, /** @type {Conversation} */ (conversation).context()),
  onScroll: () => conversation?.scrolled(),
});
const sidebar = new Sidebar({
  onLoad: sidebarLoaded,
  onError: (error) => error instanceof ApiError && showError(error),
});

// --- opening a conversation ---

/** Show what the address names. */
function followRoute() {
  const route = parseRoute();
  if (!route.bus) return openLatest();
  const isOther = !isSameBus(route.bus, conversation?.bus ?? null);
  if (!isOther && JSON.stringify(route.filter) === JSON.stringify(filter)) {
    if (route.msgId) conversation?.jumpTo(route.msgId);
    return;
  }
  open(route.bus, route.filter, route.msgId, isOther);
}

/** @param {Bus} bus @param {Filter} newFilter @param {string} msgId @param {boolean} isOther another bus than before */
function open(bus, newFilter, msgId, isOther) {
  const previous = conversation;
  previous?.close();
  filter = newFilter;
  if (isOther) {
    summary = null;
    replyForm.close();
    composer.open(bus);
    unansweredList.clear();
  }
  const histogram = () => ({ by: filterBar.colourBy, parts: chart.parts });
  conversation = new Conversation(
    bus,
    newFilter,
    { list, replyForm, histogram },
    {
      onError: showError,
      onChange: conversationChanged,
      onSummary: showSummary,
      onRunChosen: (runId) => changeFilter({ run: runId }),
      onHiddenByFilter: showUnfiltered,
    },
  );
  if (previous && !isOther) conversation.inherit(previous);
  list.set([], true);
  byId("title").replaceChildren(make("span.project-name", {}, bus.project), bus.task ? make("span", {}, bus.task) : "");
  document.body.classList.add("open");
  sidebar.select(bus);
  filterBar.show(filter, summary);
  closeDrawers();
  conversation.open(msgId);
}

/** The address names no conversation: open the one with the newest message. */
function openLatest() {
  const bus = sidebar.latestBus;
  if (bus) location.replace(formatRoute(bus));
}

/** @param {import("./types.js").BusActivity[]} buses */
function sidebarLoaded(buses) {
  if (conversation) return;
  if (!buses.length) {
    showNotice("There are no messages yet. Post the first one:", { project: "demo", task: "first" });
    showConnectionState("live");
  } else if (!parseRoute().bus) openLatest();
}

/** @param {Partial<Filter>} change */
function changeFilter(change) {
  if (conversation) location.hash = formatRoute(conversation.bus, { ...filter, ...change });
}

/** Remove the filter, which hides this message, and show it. @param {string} msgId */
function showUnfiltered(msgId) {
  if (!conversation) return;
  history.pushState(null, "", formatRoute(conversation.bus, NO_FILTER, msgId));
  followRoute();
}

// --- reacting to changes ---

/** @param {import("./types.js").Summary} newSummary */
function showSummary(newSummary) {
  summary = newSummary;
  const histogram = trimFuture(summary.histogram);
  chart.show(histogram);
  showRuns(summary.runs, filter.run, (runId) => changeFilter({ run: runId }));
  filterBar.show(filter, summary);
  byId("timeline").hidden = !summary.count;
  byId("rate").textContent = summary.count ? describeRate({ ...summary, histogram }) : "";
}

function conversationChanged() {
  if (!conversation) return;
  const { newCount, isAtEnd, lastId, bus, unanswered, rows } = conversation;
  unansweredList.show(unanswered, drafts.repliesIn(bus), (msgId) => rows.hasReplyForm(msgId));
  const button = byId("newest");
  button.hidden = isAtEnd;
  button.textContent = newCount ? `${newCount.toLocaleString()} new ↓` : "Newest ↓";
  button.classList.toggle("has-new", newCount > 0);
  if (!document.hidden && isAtEnd && lastId) sidebar.markRead(bus, lastId);
}

/** A draft has changed, here or in another window. */
function draftsChanged() {
  composer.refresh();
  replyForm.composer.refresh();
  conversationChanged();
}

/** Go to a message and reply to it, or continue the draft of a reply. @param {string} msgId */
async function answer(msgId) {
  const bus = conversation?.bus;
  const exists = await conversation?.jumpTo(msgId);
  if (!bus || !conversation || !isSameBus(bus, conversation.bus)) return; // the user has opened another one meanwhile
  if (exists) return conversation.replyTo(msgId);
  if (!drafts.get(bus, msgId)) return;
  drafts.detach(bus, msgId);
  showToast("This log no longer contains that message. Your reply is in the form below, as a message of its own.");
  composer.focus();
}

/** @param {ApiError} error */
function showError(error) {
  if (error.status === 401) showSignIn();
  else if (error.status !== 0) showToast(error.message);
  else if (!conversation) {
    showConnectionState("offline");
    showNotice("The server does not respond. Retrying…");
  }
}

// --- starting ---

byId("newest").addEventListener("click", () => conversation?.scrollToEnd());
setUpDrawers();
setUpKeyboard({ conversation: () => conversation, list, composer, sidebar, changeFilter, answer });
for (const id of ["above", "types", "unanswered"]) fadeEdges(byId(id));
window.addEventListener("hashchange", followRoute);
document.addEventListener("visibilitychange", conversationChanged);
showConnectionState("connecting");
followRoute();
sidebar.poll();
