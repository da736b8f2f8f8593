/**
 * The page. Small modules, each with one idea; this one puts them together.
 *
 *     main          what belongs to the whole page: address, filter, states, keyboard
 *     conversation  one open conversation, and what can be done with its messages
 *     log           the stretch of it that is in memory; grows by cursor and by the stream
 *     stream        its live end: server-sent events, again and again from the last id
 *     list          a list of which only what is seen is in the document
 *     message       one message as an element
 *     markdown      bodies to elements: parsed, sanitised, highlighted
 *     composer      writing a message;  outbox: those on their way
 *     sidebar       all conversations, unread counts
 *     timeline      the chart;  panel: the runs
 *     filter        the address: conversation, filter, message
 *     api           what is asked of the server
 *     kinds         types, their colours, which of them wait for an answer
 *     keys, time, dom, types   the keyboard; times in words; elements; the shapes of things
 *     vendor/       Markdown, sanitiser, highlighting, chart: as their makers publish them
 *
 * No build: browsers load these files as they are. `tsc` checks the types in the comments.
 */

import { Refused, signIn, signOut } from "./api.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId, copy, fill, kept, make } from "./dom.js";
import { EVERYTHING, fromAddress, isEverything, isSame, nameOf, toAddress } from "./filter.js";
import { listen } from "./keys.js";
import { colour } from "./kinds.js";
import { List } from "./list.js";
import { excerpt } from "./markdown.js";
import { command, copyLink, row, spoken } from "./message.js";
import { Outbox } from "./outbox.js";
import { isSilent, showRuns } from "./panel.js";
import { Sidebar } from "./sidebar.js";
import { Timeline } from "./timeline.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Message} Message */

const TYPING = 250; // milliseconds without a key until a text is looked for
const SAID_EVERY = 4_000; // milliseconds between two announcements
const TOLD_FOR = 8_000; // milliseconds
const MOST_PINS = 4; // that are listed before "all"

/** @type {Conversation | null} */
let conversation = null;
/** @type {Filter} */
let filter = EVERYTHING;
let by = kept.get("by", "type");
/** @type {Message[]} */
let unsaid = [];
let areAllPinsShown = false;
/** @type {import("./types.js").Summary | null} */
let numbers = null;

const text = /** @type {HTMLInputElement} */ (byId("text"));
const run = /** @type {HTMLSelectElement} */ (byId("run"));
const when = /** @type {HTMLSelectElement} */ (byId("when"));
const signInDialog = /** @type {HTMLDialogElement} */ (byId("sign-in"));

const outbox = new Outbox(byId("outbox"), refused);
const composer = new Composer(/** @type {HTMLFormElement} */ (byId("composer")), send);
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
  unsaid = [];
  if (isOther) {
    numbers = null;
    areAllPinsShown = false;
    composer.open(nameOf(bus));
    byId("pins").hidden = true;
  }
  conversation = new Conversation(bus, wanted, list, () => ({ by, parts: timeline.parts }), {
    state: showState,
    refused,
    notice,
    came: announce,
    changed: showChanges,
    counted: showNumbers,
    filterRun: (runId) => narrow({ run: runId }),
    send,
  });
  if (before && !isOther) conversation.takeOver(before);
  list.set([], true);
  byId("title").replaceChildren(make("span.project-name", {}, bus.project), bus.task ? make("span", {}, bus.task) : "");
  document.body.classList.add("open");
  sidebar.select(bus);
  showFilter();
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
    notice("Nothing here yet. Post your first message:", true);
    showState("live");
  } else if (!fromAddress().bus) home();
}

// --- the filter ---

/** @param {Partial<Filter>} change */
function narrow(change) {
  if (conversation) location.hash = toAddress(conversation.bus, { ...filter, ...change });
}

function showFilter() {
  if (document.activeElement !== text) text.value = filter.text;
  const isBrushed = Boolean(filter.until || (filter.from && !filter.from.startsWith("-")));
  when.value = isBrushed ? "brushed" : filter.from.slice(1);
  byId("clear").hidden = isEverything(filter);
  showRunOptions();
  showTypes();
}

function showRunOptions() {
  const names = new Set([...(numbers?.runs.map(({ run_id }) => run_id) ?? []), ...(filter.run ? [filter.run] : [])]);
  const isShown =
    [...run.options].slice(1).every(({ value }) => names.has(value)) && run.options.length === names.size + 1;
  if (!isShown) {
    const options = [...names].map((name) => make("option", { value: name }, name));
    run.replaceChildren(make("option", { value: "" }, "All runs"), ...options);
  }
  run.value = filter.run;
}

/** Counts per type; they are the filter, and the legend of the chart. */
function showTypes() {
  const types = Object.entries(numbers?.types ?? {}).sort(([, one], [, other]) => other - one);
  fill(
    byId("types"),
    types.map(([type, count]) => chip(type, count)),
  );
}

/** @param {string} type @param {number} count */
function chip(type, count) {
  const isChosen = String(filter.types.includes(type));
  const properties = { type: "button", "aria-pressed": isChosen, "data-name": type, onclick: () => toggleType(type) };
  const number = make("span.number", {}, count.toLocaleString());
  const button = make("button.chip", properties, make("span.swatch"), type, number);
  button.dataset.colour = colour(type);
  return button;
}

/** @param {string} type */
function toggleType(type) {
  const isThere = filter.types.includes(type);
  narrow({ types: isThere ? filter.types.filter((other) => other !== type) : [...filter.types, type] });
}

// --- what is known ---

/** @param {import("./types.js").Summary} summary */
function showNumbers(summary) {
  numbers = summary;
  timeline.show(summary.histogram);
  showRuns(summary.runs, filter.run, (runId) => narrow({ run: runId }));
  showRunOptions();
  showTypes();
  byId("timeline").hidden = !summary.count;
  byId("rates").textContent = summary.count ? inWords(summary) : "";
}

/** @param {import("./types.js").Summary} summary */
function inWords({ count, runs, histogram }) {
  const { series, rest, step } = histogram;
  const columns = rest.map((others, index) => series.reduce((sum, { counts }) => sum + counts[index], others));
  const aMinute = (/** @type {number} */ of) =>
    (of / (step / 60)).toLocaleString(undefined, { maximumFractionDigits: 1 });
  const mean = columns.reduce((sum, one) => sum + one, 0) / Math.max(1, columns.length);
  const silent = runs.filter(isSilent).length;
  const rate = `${aMinute(mean)} a minute, at most ${aMinute(Math.max(0, ...columns))}`;
  return `${count.toLocaleString()} messages · ${rate}${silent ? ` · ${silent} silent` : ""}`;
}

/** The newest asked stand first: who asks waits. */
function showPins() {
  const waiting = [...(conversation?.unanswered.values() ?? [])].reverse();
  const pins = byId("pins");
  pins.hidden = waiting.length === 0;
  const shown = areAllPinsShown ? waiting : waiting.slice(0, MOST_PINS);
  const more =
    waiting.length > MOST_PINS &&
    make(
      "button.quiet",
      { type: "button", "aria-expanded": String(areAllPinsShown), onclick: toggleAllPins },
      areAllPinsShown ? "Fewer" : `All ${waiting.length}`,
    );
  const key = [...shown.map(({ msg_id }) => msg_id), conversation?.waiting, areAllPinsShown].join();
  if (pins.dataset.shows === key) return;
  pins.dataset.shows = key;
  const count = make("span.count", {}, (conversation?.waiting ?? 0).toLocaleString());
  fill(pins, [make("h2", {}, "Waiting for an answer", count, more), ...shown.map(pin)]);
}

function toggleAllPins() {
  areAllPinsShown = !areAllPinsShown;
  showPins();
}

/** @param {Message} message */
function pin(message) {
  const go = make(
    "button.pin",
    { type: "button", title: "Go there", onclick: () => conversation?.jump(message.msg_id) },
    make("span.kind", {}, message.type),
    make("span.words", {}, excerpt(message.body ?? "")),
    message.run_id && make("span.from", {}, message.run_id),
  );
  go.dataset.name = message.msg_id;
  go.dataset.colour = colour(message.type);
  const answer = make("button.quiet", { type: "button", onclick: () => answerTo(message) }, "Answer");
  return make("div.pin-row", {}, go, answer);
}

/** @param {Message} message */
async function answerTo(message) {
  await conversation?.jump(message.msg_id);
  conversation?.reply(message);
}

function showChanges() {
  if (!conversation) return;
  showPins();
  const { isNew, log, last, bus } = conversation;
  const fresh = byId("fresh");
  fresh.hidden = list.isFollowing && log.isAtEnd;
  fresh.textContent = isNew ? `${isNew.toLocaleString()} new ↓` : "To the newest ↓";
  fresh.classList.toggle("news", isNew > 0);
  if (!document.hidden && list.isFollowing && log.isAtEnd && last) sidebar.saw(bus, last);
}

/** @param {import("./stream.js").State} state @param {number} [seconds] */
function showState(state, seconds) {
  const words = {
    connecting: "Connecting",
    live: "Live",
    offline: `Offline${seconds ? `, again in ${seconds} s` : ""}`,
    paused: "Paused",
  };
  const element = byId("state");
  element.dataset.state = state;
  element.textContent = words[state];
}

/** @param {string} words @param {boolean} [withCommand] */
function notice(words, withCommand = false) {
  const element = byId("notice");
  element.hidden = !words;
  byId("log").setAttribute("role", words ? "region" : "feed"); // a feed has articles
  const line = command(conversation?.bus ?? { project: "demo", task: "first" });
  const button = make(
    "button",
    { type: "button", onclick: async () => (button.textContent = (await copy(line)) ? "Copied" : "Not copied") },
    "Copy",
  );
  element.replaceChildren(
    make("p", {}, words),
    ...(withCommand ? [make("div.command", {}, make("code", {}, line), button)] : []),
  );
}

/** @param {Message[]} messages */
function announce(messages) {
  if (!messages.length) return;
  if (!unsaid.length) setTimeout(say, SAID_EVERY / 4);
  unsaid.push(...messages.slice(-200));
}

function say() {
  if (unsaid.length) byId("announce").textContent = spoken(unsaid);
  unsaid = [];
}

// --- errors, and the key ---

/** @param {Refused} error */
function refused(error) {
  if (error.status === 401) {
    kept.set("key-needed", true);
    if (!signInDialog.open) signInDialog.showModal();
  } else if (error.status === 0 && !conversation) {
    showState("offline");
    notice("The server does not answer. Trying again…");
  } else {
    tell(error.message);
  }
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let telling;

/** Say something that nobody needs to answer. @param {string} words */
function tell(words) {
  clearTimeout(telling);
  byId("toast").textContent = words;
  telling = setTimeout(() => byId("toast").replaceChildren(), TOLD_FOR);
}

byId("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const key = /** @type {HTMLInputElement} */ (byId("key"));
  try {
    await signIn(key.value);
    key.value = "";
    location.reload();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    byId("sign-in-error").textContent = error.status === 401 ? "This is not the key of this server." : error.message;
    key.select();
  }
});

signInDialog.addEventListener("cancel", (event) => event.preventDefault());

byId("sign-out").hidden = !kept.get("key-needed", false);
byId("sign-out").addEventListener("click", async () => {
  await signOut();
  location.reload();
});

// --- what the reader does ---

/** @param {Pick<import("./types.js").Post, "body" | "type" | "parents">} message */
function send(message) {
  if (conversation) outbox.add({ ...message, bus: conversation.bus });
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let typing;
text.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => narrow({ text: text.value.trim() }), TYPING);
});
run.addEventListener("change", () => narrow({ run: run.value }));
when.addEventListener("change", () => narrow({ from: when.value && `-${when.value}`, until: "" }));
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("reset", () => narrow(EVERYTHING));
byId("fresh").addEventListener("click", () => conversation?.toEnd());

for (const button of document.querySelectorAll("[data-by]")) {
  button.setAttribute("aria-pressed", String(button.getAttribute("data-by") === by));
  button.addEventListener("click", () => {
    by = button.getAttribute("data-by") ?? "type";
    kept.set("by", by);
    for (const other of document.querySelectorAll("[data-by]"))
      other.setAttribute("aria-pressed", String(other === button));
    conversation?.count();
  });
}

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
  { keys: ["/"], does: "filter by text", run: () => text.focus() },
  { keys: ["x"], does: "clear the filter", run: () => narrow(EVERYTHING) },
  {
    keys: ["a"],
    does: "answer the newest question that waits",
    run: () => [...(conversation?.unanswered.values() ?? [])].slice(-1).forEach(answerTo),
  },
  { keys: ["b"], does: "find a conversation", run: () => byId("find-bus").focus() },
  { keys: ["]"], does: "next conversation", run: () => goTo(1) },
  { keys: ["["], does: "previous conversation", run: () => goTo(-1) },
  { keys: ["u"], does: "next conversation with something unread", run: () => goTo(1, true) },
  { keys: ["h"], does: "show the chart, or hide it", run: () => byId("chart-button").click() },
  { keys: ["w"], does: "show the runs, or hide them", run: () => byId("panel-button").click() },
  { keys: ["Escape"], does: "leave what you are in", run: leave },
]);

window.addEventListener("hashchange", arrive);
document.addEventListener("visibilitychange", showChanges);
showState("connecting");
arrive();
sidebar.look();
