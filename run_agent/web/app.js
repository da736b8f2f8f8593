/**
 * The page. Small modules, each with one idea; this one puts them together.
 *
 *     main          what belongs to the whole page: address, filter, states, keyboard
 *     conversation  one open conversation, and what can be done with its messages
 *     log           the stretch of it that is in memory; grows by cursor and by the stream
 *     stream        its live end: server-sent events, again and again from the last id
 *     list          a list of which only what is seen is in the document
 *     message       one message as an element
 *     markdown      bodies to elements: parsed, sanitised, highlighted;  slices: long ones, part by part
 *     composer      writing a message;  replying: the form below one;  outbox: those on their way
 *     drafts        what is written and not posted, each where it belongs
 *     sidebar       all conversations, unread counts;  read-marks: how far each was read
 *     timeline      the chart;  panel: the runs;  pins: what waits for an answer, and drafts;  waiting: which that is
 *     filterbar     the filter as one sees it;  filter: as the address holds it
 *     status        connected or not, empty, in error; what is said aloud;  signin: the key
 *     api           what is asked of the server
 *     kinds         types, their colours, which of them wait for an answer
 *     kept          what this browser keeps, for all its windows
 *     edges         what scrolls shows that there is more
 *     keys, time, dom, types   the keyboard; times in words; elements; the shapes of things
 *     vendor/       Markdown, sanitiser, highlighting, chart: as their makers publish them
 *
 * No build: browsers load these files as they are. `tsc` checks the types in the comments.
 */

import { Refused } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId, make } from "./dom.js";
import { Drafts } from "./drafts.js";
import { fadeEdges } from "./edges.js";
import { EVERYTHING, fromAddress, isSame, nameOf, toAddress } from "./filter.js";
import { FilterBar } from "./filterbar.js";
import { kept } from "./kept.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { copyLink, row } from "./message.js";
import { Outbox } from "./outbox.js";
import { showRuns } from "./panel.js";
import { Pins } from "./pins.js";
import { Replying } from "./replying.js";
import { Sidebar } from "./sidebar.js";
import { askForKey } from "./signin.js";
import { announce, inWords, notice, showState, tell } from "./status.js";
import { past, Timeline } from "./timeline.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */

/** @type {Conversation | null} */
let conversation = null;
/** @type {Filter} */
let filter = EVERYTHING;
/** @type {import("./types.js").Summary | null} */
let numbers = null;

const filterBar = new FilterBar(narrow, () => conversation?.count());
const pins = new Pins((msgId) => conversation?.jump(msgId), answerTo);
const outbox = new Outbox(byId("outbox"), refused);
const drafts = new Drafts(showDrafts);
const send = outbox.add.bind(outbox);
const composer = new Composer(/** @type {HTMLFormElement} */ (byId("composer")), drafts, send);
const replying = new Replying(drafts, send, (message) => conversation?.stopReplying(message));
const timeline = new Timeline((from, until) => narrow({ from, until }));
const list = new List(byId("log"), {
  key: (/** @type {Message} */ message) => message.msg_id,
  render: (message, before) => row(message, before, /** @type {Conversation} */ (conversation).context()),
  moved: () => conversation?.moved(),
});
const sidebar = new Sidebar({ loaded: busesLoaded, failed: (error) => error instanceof Refused && refused(error) });

// --- where we are ---

/** Go where the address says. */
function arrive() {
  const place = fromAddress();
  if (!place.bus) return home();
  const isOther = !isSame(place.bus, conversation?.bus ?? null);
  if (!isOther && JSON.stringify(place.filter) === JSON.stringify(filter)) {
    if (place.at) conversation?.jump(place.at);
    return;
  }
  open(place.bus, place.filter, place.at, isOther);
}

/** @param {Bus} bus @param {Filter} wanted @param {string} at @param {boolean} isOther */
function open(bus, wanted, at, isOther) {
  const before = conversation;
  before?.close();
  filter = wanted;
  if (isOther) {
    numbers = null;
    replying.close();
    composer.open(bus);
    pins.clear();
  }
  const chart = () => ({ by: filterBar.by, parts: timeline.parts });
  conversation = new Conversation(
    bus,
    wanted,
    { list, replying, chart },
    {
      state: showState,
      refused,
      notice: (words, isEmpty) => notice(words, isEmpty ? bus : undefined),
      came: announce,
      changed: showChanges,
      counted: showNumbers,
      filterRun: (runId) => narrow({ run: runId }),
      filtered: showAll,
    },
  );
  if (before && !isOther) conversation.takeOver(before);
  list.set([], true);
  byId("title").replaceChildren(make("span.project-name", {}, bus.project), bus.task ? make("span", {}, bus.task) : "");
  document.body.classList.add("open");
  sidebar.select(bus);
  filterBar.show(filter, numbers);
  closeDrawers();
  conversation.open(at);
}

/** Nothing is named: the conversation in which something happened last. */
function home() {
  const [bus] = sidebar.buses.toSorted((one, other) => lastOf(other).localeCompare(lastOf(one)));
  if (bus) location.replace(toAddress(bus));
}

/** @type {Map<string, string>} */
const lasts = new Map();
/** @param {Bus} bus */
const lastOf = (bus) => lasts.get(nameOf(bus)) ?? "";

/** @param {import("./types.js").Active[]} buses */
function busesLoaded(buses) {
  for (const { project_id, task_id, last } of buses)
    lasts.set(nameOf({ project: project_id, ...(task_id && { task: task_id }) }), last ?? "");
  if (conversation) return;
  if (!buses.length) {
    notice("Nothing here yet. Post your first message:", { project: "demo", task: "first" });
    showState("live");
  } else if (!fromAddress().bus) home();
}

// --- the filter ---

/** @param {Partial<Filter>} change */
function narrow(change) {
  if (conversation) location.hash = toAddress(conversation.bus, { ...filter, ...change });
}

// --- what is known ---

/** @param {import("./types.js").Summary} summary */
function showNumbers(summary) {
  numbers = summary;
  const histogram = past(summary.histogram);
  timeline.show(histogram);
  showRuns(summary.runs, filter.run, (runId) => narrow({ run: runId }));
  filterBar.show(filter, numbers);
  byId("timeline").hidden = !summary.count;
  byId("rates").textContent = summary.count ? inWords({ ...summary, histogram }) : "";
}

/** The filter hides this message: show all, and it. @param {string} msgId */
function showAll(msgId) {
  if (!conversation) return;
  history.pushState(null, "", toAddress(conversation.bus, EVERYTHING, msgId));
  arrive();
}

/** Go to a message, and write a reply to it or finish the one that was begun. @param {string} msgId */
async function answerTo(msgId) {
  const bus = conversation?.bus;
  const isThere = await conversation?.jump(msgId);
  if (!bus || !conversation || !isSame(bus, conversation.bus)) return; // somebody went elsewhere meanwhile
  if (isThere) return conversation.replyTo(msgId);
  if (!drafts.get(bus, msgId)) return;
  drafts.release(bus, msgId);
  tell("That message is not in this log any more: your reply to it is below, as a message of its own");
  composer.focus();
}

/** A draft was changed, here or in another window. */
function showDrafts() {
  composer.refresh();
  replying.composer.refresh();
  showChanges();
}

function showChanges() {
  if (!conversation) return;
  const { isNew, log, last, bus, waiting } = conversation;
  pins.show(waiting, drafts.repliesIn(bus), (msgId) => Boolean(conversation?.isReplyingTo(msgId)));
  const fresh = byId("fresh");
  fresh.hidden = list.isFollowing && log.isAtEnd;
  fresh.textContent = isNew ? `${isNew.toLocaleString()} new ↓` : "To the newest ↓";
  fresh.classList.toggle("news", isNew > 0);
  if (!document.hidden && list.isFollowing && log.isAtEnd && last) sidebar.saw(bus, last);
}

/** @param {Refused} error */
function refused(error) {
  if (error.status === 401) askForKey();
  else if (error.status !== 0) tell(error.message);
  else if (!conversation) {
    showState("offline");
    notice("The server does not answer. Trying again…");
  }
}

// --- what the reader does ---

/** Something that can be shown or not. @param {string} name @param {string} button */
function toggle(name, button) {
  const isShown = document.body.classList.toggle(name);
  byId(button).setAttribute("aria-expanded", String(isShown));
  byId("veil").hidden = !document.body.matches(".with-side, .with-panel");
  return isShown;
}

function closeDrawers() {
  for (const [name, button] of [
    ["with-side", "menu"],
    ["with-panel", "panel-button"],
  ]) {
    if (document.body.classList.contains(name)) toggle(name, button);
  }
}

byId("fresh").addEventListener("click", () => conversation?.toEnd());
byId("menu").addEventListener("click", () => toggle("with-side", "menu"));
byId("panel-button").addEventListener("click", () => toggle("with-panel", "panel-button"));
byId("buses").addEventListener("click", closeDrawers);
byId("veil").addEventListener("click", closeDrawers);
byId("chart-button").addEventListener("click", () => kept.set("chart", toggle("with-chart", "chart-button")));
if (kept.get("chart", innerWidth > 700)) toggle("with-chart", "chart-button");
else byId("chart-button").setAttribute("aria-expanded", "false");

/** The message that has the focus, and that of the row it is in. */
function current() {
  const article = document.activeElement?.closest("article");
  const id = article?.getAttribute("data-id") ?? "";
  const key = article?.closest("[data-key]")?.getAttribute("data-key") ?? "";
  return { id, key, message: conversation?.context().find(id) };
}

/** @param {number} step */
function step(step) {
  const { key } = current();
  const next = key ? list.neighbour(key, step) : list.firstSeen();
  if (next) conversation?.focus(next);
}

function leave() {
  closeDrawers();
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/** @param {number} step @param {boolean} [isUnread] */
function goTo(step, isUnread) {
  const next = sidebar.next(step, isUnread);
  if (next) location.hash = next;
}

/** @param {(message: Message, key: string) => void} act */
const withCurrent = (act) => () => {
  const { message, key } = current();
  if (message) act(message, key);
};

listen([
  { keys: ["j", "ArrowDown"], does: "next message", run: () => step(1) },
  { keys: ["k", "ArrowUp"], does: "previous message", run: () => step(-1) },
  { keys: ["G", "End"], does: "to the newest", run: () => conversation?.toEnd() },
  { keys: ["g", "Home"], does: "to the oldest that is loaded", run: () => conversation?.focus(list.end(false) ?? "") },
  {
    keys: ["Enter", "o"],
    does: "unfold the message, or fold it",
    run: withCurrent(({ msg_id }) => conversation?.unfold(msg_id)),
  },
  {
    keys: ["t"],
    does: "show its replies, or hide them",
    run: withCurrent(({ msg_id }) => conversation?.toggleThread(msg_id)),
  },
  {
    keys: ["p"],
    does: "go to what it replies to",
    run: withCurrent(({ parents }) => parents?.length && conversation?.jump(parents[0])),
  },
  { keys: ["r"], does: "reply to it", run: withCurrent((message) => conversation?.reply(message)) },
  {
    keys: ["y"],
    does: "copy a link to it",
    run: withCurrent((message) => conversation && copyLink(message, conversation.context())),
  },
  { keys: ["c", "n"], does: "write a message (Ctrl Enter posts it)", run: () => composer.focus() },
  { keys: ["/"], does: "filter by text", run: () => byId("text").focus() },
  { keys: ["x"], does: "clear the filter", run: () => narrow(EVERYTHING) },
  {
    keys: ["a"],
    does: "answer the newest question that waits",
    run: () => [...(conversation?.waiting.messages.keys() ?? [])].slice(-1).forEach(answerTo),
  },
  { keys: ["b"], does: "find a conversation", run: () => byId("find-bus").focus() },
  { keys: ["]"], does: "next conversation", run: () => goTo(1) },
  { keys: ["["], does: "previous conversation", run: () => goTo(-1) },
  { keys: ["u"], does: "next conversation with something unread", run: () => goTo(1, true) },
  { keys: ["h"], does: "show the chart, or hide it", run: () => byId("chart-button").click() },
  { keys: ["w"], does: "show the runs, or hide them", run: () => byId("panel-button").click() },
  { keys: ["Escape"], does: "leave what you are in", run: leave },
]);

for (const scrolling of ["above", "types", "pins"]) fadeEdges(byId(scrolling));
window.addEventListener("hashchange", arrive);
document.addEventListener("visibilitychange", showChanges);
showState("connecting");
arrive();
sidebar.look();
