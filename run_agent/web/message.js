/** One message as an element: its head, what it replies to, its body, its replies. */

import { copy, make } from "./dom.js";
import { toAddress } from "./filter.js";
import { colour, colourOfRun, isOfRun } from "./kinds.js";
import { excerpt, render } from "./markdown.js";
import { between, clock, day, duration, full } from "./time.js";

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Message} Message */
/**
 * What a message needs to know of the conversation, and what can be done with it.
 * @typedef {{bus: Bus, isUnanswered: (message: Message) => boolean, find: (msgId: string) => Message | undefined,
 *   run: (runId: string) => import("./types.js").Run | undefined, countReplies: (msgId: string) => number,
 *   thread: (msgId: string) => Message[] | undefined, isUnfolded: (msgId: string) => boolean, unfold: (msgId: string) => void,
 *   toggleThread: (msgId: string) => void, jump: (msgId: string) => void, reply: (message: Message) => void,
 *   replyForm: (msgId: string, within?: string) => HTMLElement | null, filterRun: (runId: string) => void}} Context
 */

const MANY_LINES = 28;
const MANY_CHARACTERS = 3_000;
const CUT = 6_000; // characters that are parsed of a folded body
const DEEPEST = 6; // threads within threads

/**
 * A row of the conversation.
 * @param {Message} message
 * @param {Message | undefined} before
 * @param {Context} context
 */
export function row(message, before, context) {
  const isNewDay = !before || day(before.timestamp) !== day(message.timestamp);
  const date = isNewDay && make("div.day", { "aria-hidden": "true" }, make("span", {}, day(message.timestamp)));
  const content = isOfRun(message.type) ? runLine(message, context) : card(message, context, 0);
  if (date) content.setAttribute("aria-label", `${day(message.timestamp)}: ${content.getAttribute("aria-label")}`);
  return make("div.row", {}, date, content);
}

/** @param {Message} message @param {Context} context */
function runLine(message, context) {
  const run = context.run(message.run_id ?? "");
  const ended =
    run?.started && message.type !== "RUN_START" ? ` after ${duration(between(run.started, message.timestamp))}` : "";
  const words = { RUN_START: "started", RUN_STOP: "ended", RUN_CRASH: "crashed" }[message.type.toUpperCase()];
  return article(
    message,
    context,
    "run-event",
    make(
      "div.run-line",
      {},
      make("span.rule"),
      runName(message, context),
      make("span.what", {}, `${words}${ended}`),
      said(message, context),
      time(message, context),
      make("span.rule"),
    ),
    context.isUnfolded(message.msg_id) && make("div.body", {}, render(message.body ?? "")),
    parents(message, context),
    context.replyForm(message.msg_id),
    replies(message, context, 0),
  );
}

/** The first words of what a run said at its end; all of it is a click away. @param {Message} message @param {Context} context */
function said({ msg_id, body: text = "" }, context) {
  const isOpen = String(context.isUnfolded(msg_id));
  return (
    text &&
    make(
      "button.said",
      { type: "button", "aria-expanded": isOpen, onclick: () => context.unfold(msg_id) },
      excerpt(text),
    )
  );
}

/** @param {Message} message @param {Context} context @param {number} depth @param {string} [within] @returns {HTMLElement} */
function card(message, context, depth, within) {
  return article(
    message,
    context,
    context.isUnanswered(message) ? "card waiting" : "card",
    make(
      "header",
      {},
      make("span.kind", {}, message.type),
      runName(message, context),
      message.issue_id && message.issue_id !== message.msg_id && make("span.issue", {}, message.issue_id),
      message.intact === false &&
        make("span.torn", { title: "Its length does not fit: cut, or changed by hand" }, "torn"),
      time(message, context),
      tools(message, context),
    ),
    parents(message, context, within),
    body(message, context),
    links(message),
    context.replyForm(message.msg_id, within),
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
  const label = `${message.type}${message.run_id ? ` from ${message.run_id}` : ""}, ${clock(message.timestamp)}`;
  const element = make(
    "article",
    { class: classes, tabindex: -1, "aria-label": label, "data-id": message.msg_id },
    ...children,
  );
  element.dataset.colour = colour(message.type);
  if (context.isUnanswered(message)) element.setAttribute("aria-description", "without an answer");
  return element;
}

/** @param {Message} message @param {Context} context */
function runName({ run_id }, context) {
  if (!run_id) return null;
  const name = make(
    "button.run",
    { type: "button", title: `Only ${run_id}`, onclick: () => context.filterRun(run_id) },
    run_id,
  );
  name.dataset.run = colourOfRun(run_id);
  return name;
}

/** @param {Message} message @param {Context} context */
function time({ timestamp, msg_id }, { bus }) {
  const stamp = make("time", { datetime: timestamp }, clock(timestamp));
  return make(
    "a.time",
    { href: toAddress(bus, undefined, msg_id), title: `${full(timestamp)}: link to this message` },
    stamp,
  );
}

/** @param {Message} message @param {Context} context */
function tools(message, context) {
  const link = make("button.quiet", { type: "button", onclick: () => copyLink(message, context, link) }, "Link");
  const text = make("button.quiet", { type: "button", onclick: () => copyText(message, text) }, "Copy");
  return make(
    "span.tools",
    {},
    make("button.quiet", { type: "button", onclick: () => context.reply(message) }, "Reply"),
    message.body && text,
    link,
  );
}

/** The body, as it was written. @param {Message} message @param {HTMLElement} button */
async function copyText({ body = "" }, button) {
  button.textContent = (await copy(body)) ? "Copied" : "Not copied";
}

/** @param {Message} message @param {Context} context @param {HTMLElement} [button] */
export async function copyLink({ msg_id }, { bus }, button) {
  const isCopied = await copy(new URL(toAddress(bus, undefined, msg_id), location.href).href);
  if (button) button.textContent = isCopied ? "Copied" : "Not copied";
}

/** @param {Message} message @param {Context} context @param {string} [within] the message in whose thread this one is */
function parents(message, context, within) {
  const known = message.relations ?? [];
  const others = (message.parents ?? []).filter((msgId) => msgId !== within);
  const shown = others.map((msgId) => {
    const parent = context.find(msgId);
    const kind = known.find(({ msg_id }) => msg_id === msgId)?.kind ?? "replies to";
    const text = parent ? `${parent.type}: ${excerpt(parent.body ?? "")}` : msgId;
    const go = make(
      "button.parent",
      { type: "button", title: "Go there", onclick: () => context.jump(msgId) },
      `↱ ${kind} `,
      make("span", {}, text),
    );
    if (parent) go.dataset.colour = colour(parent.type);
    return go;
  });
  return shown.length > 0 && make("div.parents", {}, ...shown);
}

/** Unfolded bodies of which more is rendered as they are read: a row that is made anew goes on with its own. @type {WeakMap<Message, HTMLElement>} */
const unfolded = new WeakMap();

/** @param {Message} message */
function whole(message) {
  const before = unfolded.get(message);
  if (before && !before.isConnected) return before;
  const element = make("div.body", {}, render(message.body ?? ""));
  unfolded.set(message, element);
  return element;
}

/** @param {Message} message @param {Context} context */
function body(message, context) {
  const { msg_id, body: text = "" } = message;
  if (!text) return null;
  const isLong = text.length > MANY_CHARACTERS || text.split("\n", MANY_LINES + 1).length > MANY_LINES;
  const isFolded = isLong && !context.isUnfolded(msg_id);
  if (!isLong) return make("div.body", {}, render(text));
  const element = isFolded ? make("div.body.folded", {}, render(text.slice(0, CUT))) : whole(message);
  const size =
    text.length > 10_000 ? `${Math.round(text.length / 1000)},000 characters` : `${text.split("\n").length} lines`;
  const button = make(
    "button.quiet.fold",
    { type: "button", "aria-expanded": String(!isFolded), onclick: () => context.unfold(msg_id) },
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
  const count = context.countReplies(msg_id);
  if (!count) return null;
  const thread = depth < DEEPEST ? context.thread(msg_id) : undefined;
  const act = depth < DEEPEST ? () => context.toggleThread(msg_id) : () => context.jump(msg_id);
  const words = `${count} ${count === 1 ? "reply" : "replies"}`;
  const button = make(
    "button.replies",
    { type: "button", "aria-expanded": String(Boolean(thread)), onclick: act },
    words,
  );
  if (!thread) return button;
  return make(
    "div.thread",
    { role: "group", "aria-label": "Replies" },
    button,
    ...thread.map((reply) => card(reply, context, depth + 1, msg_id)),
  );
}

/** What a screen reader says of new messages. @param {Message[]} messages */
export function spoken(messages) {
  const last = messages[messages.length - 1];
  const words = `${last.type}${last.run_id ? ` from ${last.run_id}` : ""}: ${excerpt(last.body ?? "")}`;
  return messages.length === 1 ? words : `${messages.length} new messages. The last is ${words}`;
}

/** @param {Bus} bus */
export const command = (bus) =>
  `run-agent bus post --project ${bus.project}${bus.task ? ` --task ${bus.task}` : ""} --body "Hello"`;
