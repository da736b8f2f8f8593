/** What the page asks the server, in one place: docs/server.md has all of it. */

/** @typedef {import("./types.js").Bus} Bus */
/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Post} Post */

const BASE = new URL("api/v1/", document.baseURI);
const TIMEOUT = 20_000; // milliseconds

/** An answer that is none: `status` 0 where nothing came at all. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {boolean} stored the message is in the file all the same
   */
  constructor(status, message, stored = false) {
    super(message);
    this.status = status;
    this.stored = stored;
  }
}

/** @param {Bus} bus */
const scope = ({ project, task }) => ({ project_id: project, ...(task && { task_id: task }) });

/** @param {Filter} filter */
export function asQuery(filter) {
  return {
    ...(filter.types.length && { type: filter.types.join(",") }),
    ...(filter.run && { run_id: filter.run }),
    ...(filter.text && { text: filter.text }),
    ...times(filter),
  };
}

/** @param {Filter} filter */
function times({ from, until }) {
  const moment = from.startsWith("-") ? new Date(Date.now() + 1000 * Number(from)).toISOString() : from;
  return { ...(moment && { from: moment }), ...(until && { until }) };
}

/**
 * @param {Bus} bus
 * @param {Record<string, string | number>} query
 * @returns {Promise<import("./types.js").Page>}
 */
export const list = (bus, query) => get("messages", { ...scope(bus), ...query });

/**
 * One message. In the query, since no path can hold every id that a person writes.
 * @param {Bus} bus
 * @param {string} msgId
 * @returns {Promise<import("./types.js").Message>}
 */
export async function one(bus, msgId) {
  const [message] = (await list(bus, { msg_id: msgId })).messages;
  if (!message) throw new Refused(404, "the log does not hold this message");
  return message;
}

/**
 * @param {Bus} bus
 * @param {Filter} filter
 * @param {string} by
 * @param {number} parts
 * @returns {Promise<import("./types.js").Summary>}
 */
export const summary = (bus, filter, by, parts) =>
  get("messages/summary", { ...scope(bus), ...times(filter), by, parts });

/**
 * @param {{project_id: string, task_id?: string, after?: string}[]} buses
 * @returns {Promise<{counts: number[]}>}
 */
export const unread = (buses) => send("POST", "unread", { buses });

/** @param {string} key */
export const signIn = (key) => send("POST", "session", { key });
export const signOut = () => send("DELETE", "session");

/**
 * @param {Post} post
 * @returns {Promise<{msg_id: string, timestamp: string}>}
 */
export function post({ bus, key, type, body, parents }) {
  const message = { ...scope(bus), type, body, ...(parents.length && { parents }) };
  return send("POST", "messages", message, { "Idempotency-Key": key });
}

/** @type {{tag: string, buses: import("./types.js").Active[]}} */
const lately = { tag: "", buses: [] };

/** All buses at a glance; asked for conditionally. */
export async function activity() {
  const answer = await ask("activity", { headers: lately.tag ? { "If-None-Match": lately.tag } : {} });
  if (answer.status !== 304) Object.assign(lately, { tag: answer.headers.get("ETag") ?? "", ...(await answer.json()) });
  return lately.buses;
}

/**
 * @param {Bus} bus
 * @param {string | undefined} after
 */
export function stream(bus, after) {
  const query = new URLSearchParams({ ...scope(bus), ...(after && { after }) });
  return new EventSource(new URL(`messages/stream?${query}`, BASE));
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} query
 */
async function get(path, query) {
  const pairs = Object.entries(query).map(([name, value]) => [name, String(value)]);
  return (await ask(`${path}?${new URLSearchParams(pairs)}`, {})).json();
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [document]
 * @param {Record<string, string>} [headers]
 */
async function send(method, path, document, headers = {}) {
  const body = document === undefined ? {} : { body: JSON.stringify(document) };
  const answer = await ask(path, { method, headers: { "Content-Type": "application/json", ...headers }, ...body });
  return answer.status === 204 ? undefined : answer.json();
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function ask(path, options) {
  const request = { cache: /** @type {const} */ ("no-store"), signal: AbortSignal.timeout(TIMEOUT), ...options };
  const answer = await fetch(new URL(path, BASE), request).catch(() => {
    throw new Refused(0, "the server does not answer");
  });
  if (answer.ok || answer.status === 304) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new Refused(
    answer.status,
    error?.message ?? `the server answered ${answer.status}`,
    Boolean(error?.details?.stored),
  );
}
