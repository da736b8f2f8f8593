/** Renders one message: header, parents, body, links, reply form and replies. Run events are thin lines instead. */

import { copyButton, copyText } from "../lib/clipboard.js";
import { make } from "../lib/dom.js";
import { excerpt, render } from "../lib/markdown.js";
import { formatDate, formatDuration, formatFull, formatTime, secondsBetween } from "../lib/time.js";
import { isRunEvent, runColour, typeColour } from "../model/message-types.js";
import { formatRoute } from "../model/route.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").Message} Message */
/**
 * What a message view needs from its conversation.
 * @typedef {object} Context
 * @property {Bus} bus
 * @property {(message: Message) => boolean} isUnanswered
 * @property {(msgId: string) => Message | undefined} find
 * @property {(runId: string) => import("../types.js").Run | undefined} run
 * @property {(msgId: string) => number} replyCount
 * @property {(msgId: string) => Message[] | undefined} thread  The replies, if they are shown.
 * @property {(msgId: string) => boolean} isUnfolded
 * @property {(msgId: string) => void} toggleFold
 * @property {(msgId: string) => void} toggleThread
 * @property {(msgId: string) => void} jumpTo
 * @property {(message: Message) => void} reply
 * @property {(msgId: string, parent?: string) => HTMLElement | null} replyForm  If it belongs below this message.
 * @property {(runId: string) => void} chooseRun
 */

const MAX_LINES = 28; // a longer body is folded
const MAX_CHARACTERS = 3_000;
const MAX_FOLDED = 6_000; // characters of a folded body that are rendered
const MAX_DEPTH = 6; // of threads within threads

/**
 * A row of the message list, with the date above the first message of a day.
 * @param {Message} message
 * @param {Message | undefined} before
 * @param {Context} context
 */
export function messageRow(message, before, context) {
  const isNewDay = !before || formatDate(before.timestamp) !== formatDate(message.timestamp);
  const date = isNewDay && make("div.day", { "aria-hidden": "true" }, make("span", {}, formatDate(message.timestamp)));
  const content = isRunEvent(message.type) ? runLine(message, context) : card(message, context, 0);
  if (date)
    content.setAttribute("aria-label", `${formatDate(message.timestamp)}: ${content.getAttribute("aria-label")}`);
  return make("div.row", {}, date, content);
}

/** @param {Message} message @param {Context} context */
function runLine(message, context) {
  const run = context.run(message.run_id ?? "");
  const elapsed =
    run?.started && message.type !== "RUN_START"
      ? ` after ${formatDuration(secondsBetween(run.started, message.timestamp))}`
      : "";
  const event = { RUN_START: "started", RUN_STOP: "ended", RUN_CRASH: "crashed" }[message.type.toUpperCase()];
  return article(
    message,
    context,
    "run-event",
    make(
      "div.run-line",
      {},
      make("span.rule"),
      runName(message, context),
      make("span.event", {}, `${event}${elapsed}`),
      lastWords(message, context),
      timeLink(message, context),
      make("span.rule"),
    ),
    context.isUnfolded(message.msg_id) && make("div.body", {}, render(message.body ?? "")),
    parents(message, context),
    context.replyForm(message.msg_id),
    replies(message, context, 0),
  );
}

/** The beginning of the body; a click shows all of it. @param {Message} message @param {Context} context */
function lastWords({ msg_id, body: text = "" }, context) {
  const isOpen = String(context.isUnfolded(msg_id));
  return (
    text &&
    make(
      "button.last-words",
      { type: "button", "aria-expanded": isOpen, onclick: () => context.toggleFold(msg_id) },
      excerpt(text),
    )
  );
}

/** @param {Message} message @param {Context} context @param {number} depth of the thread @param {string} [parent] whose thread it is in @returns {HTMLElement} */
function card(message, context, depth, parent) {
  return article(
    message,
    context,
    context.isUnanswered(message) ? "card unanswered" : "card",
    make(
      "header",
      {},
      make("span.message-type", {}, message.type),
      runName(message, context),
      message.issue_id && message.issue_id !== message.msg_id && make("span.issue", {}, message.issue_id),
      message.intact === false &&
        make("span.torn", { title: "The recorded length does not match: truncated, or edited by hand" }, "torn"),
      timeLink(message, context),
      tools(message, context),
    ),
    parents(message, context, parent),
    body(message, context),
    links(message),
    context.replyForm(message.msg_id, parent),
    replies(message, context, depth),
  );
}

/**
 * @param {Message} message
 * @param {Context} context
 * @param {string} classes
 * @param {...(Node | string | null | undefined | false)} children
 */
function article(message, context, classes, ...children) {
  const label = `${message.type}${message.run_id ? ` from ${message.run_id}` : ""}, ${formatTime(message.timestamp)}`;
  const element = make(
    "article",
    { class: classes, tabindex: -1, "aria-label": label, "data-id": message.msg_id },
    ...children,
  );
  element.dataset.colour = typeColour(message.type);
  if (context.isUnanswered(message)) element.setAttribute("aria-description", "unanswered");
  return element;
}

/** @param {Message} message @param {Context} context */
function runName({ run_id }, context) {
  if (!run_id) return null;
  const name = make(
    "button.run",
    { type: "button", title: `Show only ${run_id}`, onclick: () => context.chooseRun(run_id) },
    run_id,
  );
  name.dataset.run = runColour(run_id);
  return name;
}

/** @param {Message} message @param {Context} context */
function timeLink({ timestamp, msg_id }, { bus }) {
  const stamp = make("time", { datetime: timestamp }, formatTime(timestamp));
  return make(
    "a.time",
    { href: formatRoute(bus, undefined, msg_id), title: `${formatFull(timestamp)}: link to this message` },
    stamp,
  );
}

/** @param {Message} message @param {Context} context */
function tools(message, context) {
  const { body } = message;
  return make(
    "span.tools",
    {},
    make("button.quiet", { type: "button", onclick: () => context.reply(message) }, "Reply"),
    body && copyButton("button.quiet", "Copy", () => body),
    copyButton("button.quiet", "Link", () => linkTo(message, context)),
  );
}

/** @param {Message} message @param {Context} context */
export const copyLink = (message, context) => copyText(linkTo(message, context));

/** @param {Message} message @param {Context} context */
const linkTo = ({ msg_id }, { bus }) => new URL(formatRoute(bus, undefined, msg_id), location.href).href;

/** @param {Message} message @param {Context} context @param {string} [threadParent] not repeated in its own thread */
function parents(message, context, threadParent) {
  const relations = message.relations ?? [];
  const others = (message.parents ?? []).filter((msgId) => msgId !== threadParent);
  const shown = others.map((msgId) => {
    const parent = context.find(msgId);
    const kind = relations.find(({ msg_id }) => msg_id === msgId)?.kind ?? "replies to";
    const text = parent ? `${parent.type}: ${excerpt(parent.body ?? "")}` : msgId;
    const link = make(
      "button.parent",
      { type: "button", title: "Go to this message", onclick: () => context.jumpTo(msgId) },
      `↱ ${kind} `,
      make("span", {}, text),
    );
    if (parent) link.dataset.colour = typeColour(parent.type);
    return link;
  });
  return shown.length > 0 && make("div.parents", {}, ...shown);
}

/** Unfolded bodies: they render as they are read, so a row that is rendered again reuses its element. @type {WeakMap<Message, HTMLElement>} */
const unfoldedBodies = new WeakMap();

/** @param {Message} message */
function unfoldedBody(message) {
  const before = unfoldedBodies.get(message);
  if (before && !before.isConnected) return before;
  const element = make("div.body", {}, render(message.body ?? ""));
  unfoldedBodies.set(message, element);
  return element;
}

/** @param {Message} message @param {Context} context */
function body(message, context) {
  const { msg_id, body: text = "" } = message;
  if (!text) return null;
  const isLong = text.length > MAX_CHARACTERS || text.split("\n", MAX_LINES + 1).length > MAX_LINES;
  const isFolded = isLong && !context.isUnfolded(msg_id);
  if (!isLong) return make("div.body", {}, render(text));
  const element = isFolded ? make("div.body.folded", {}, render(text.slice(0, MAX_FOLDED))) : unfoldedBody(message);
  const size =
    text.length > 10_000 ? `${Math.round(text.length / 1000)},000 characters` : `${text.split("\n").length} lines`;
  const button = make(
    "button.quiet.fold",
    { type: "button", "aria-expanded": String(!isFolded), onclick: () => context.toggleFold(msg_id) },
    isFolded ? `Show all (${size})` : "Show less",
  );
  return make("div", {}, element, button);
}

/** @param {Message} message */
function links({ links: given = [] }) {
  const shown = given.map(({ url, label }) =>
    /^https?:\/\//i.test(url)
      ? make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label || url)
      : make("span", {}, label ? `${label}: ${url}` : url),
  );
  return shown.length > 0 && make("div.links", {}, ...shown);
}

/** @param {Message} message @param {Context} context @param {number} depth @returns {HTMLElement | null} */
function replies({ msg_id }, context, depth) {
  const count = context.replyCount(msg_id);
  if (!count) return null;
  const thread = depth < MAX_DEPTH ? context.thread(msg_id) : undefined;
  const act = depth < MAX_DEPTH ? () => context.toggleThread(msg_id) : () => context.jumpTo(msg_id);
  const label = `${count} ${count === 1 ? "reply" : "replies"}`;
  const button = make(
    "button.replies",
    { type: "button", "aria-expanded": String(Boolean(thread)), onclick: act },
    label,
  );
  if (!thread) return button;
  return make(
    "div.thread",
    { role: "group", "aria-label": "Replies" },
    button,
    ...thread.map((reply) => card(reply, context, depth + 1, msg_id)),
  );
}
