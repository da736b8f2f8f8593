/** Every request of the page to the server. docs/server.md describes the endpoints. */

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").BusActivity} BusActivity */
/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Post} Post */

const BASE = new URL("api/v1/", document.baseURI);
const TIMEOUT = 20_000; // milliseconds

/** A failed request. `status` is that of HTTP, or 0 if there was no response. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {boolean} isStored the message was stored despite the error
   */
  constructor(status, message, isStored = false) {
    super(message);
    this.status = status;
    this.isStored = isStored;
  }
}

/**
 * @param {Bus} bus
 * @param {Record<string, string | number>} query
 * @returns {Promise<import("../types.js").ResultPage>}
 */
export const fetchMessages = (bus, query) => get("messages", { ...busFields(bus), ...query });

/**
 * One message. Its id is sent in the query, because ids of hand-written messages may not fit into a path.
 * @param {Bus} bus
 * @param {string} msgId
 * @returns {Promise<import("../types.js").Message>}
 */
export async function fetchMessage(bus, msgId) {
  const [message] = (await fetchMessages(bus, { msg_id: msgId })).messages;
  if (!message) throw new ApiError(404, "the log does not contain this message");
  return message;
}

/**
 * @param {Bus} bus
 * @param {Filter} filter only its times count
 * @param {string} by what the histogram distinguishes: "type" or "run_id"
 * @param {number} parts of the histogram
 * @returns {Promise<import("../types.js").Summary>}
 */
export const fetchSummary = (bus, filter, by, parts) =>
  get("messages/summary", { ...busFields(bus), ...timeQuery(filter), by, parts });

/**
 * @param {{project_id: string, task_id?: string, after?: string}[]} buses
 * @returns {Promise<{counts: number[]}>}
 */
export const countUnread = (buses) => send("POST", "unread", { buses });

/** @param {string} key */
export const signIn = (key) => send("POST", "session", { key });
export const signOut = () => send("DELETE", "session");

/**
 * @param {Post} post
 * @returns {Promise<{msg_id: string, timestamp: string}>}
 */
export function postMessage({ bus, key, type, body, parents }) {
  const message = { ...busFields(bus), type, body, ...(parents.length && { parents }) };
  return send("POST", "messages", message, { "Idempotency-Key": key });
}

/** What is known of every bus, and the token of the answer that it comes from. */
const activity = { token: "", buses: /** @type {Map<string, BusActivity>} */ (new Map()) };

/** The latest activity of every bus, sorted by name: the server sends only what has changed since the last answer. */
export async function fetchActivity() {
  const { token, buses, removed } = await get("activity", { since: activity.token });
  if (!removed) activity.buses.clear(); // it sent all, because it did not know the token
  for (const gone of removed ?? []) activity.buses.delete(activityKey(gone));
  for (const changed of buses) activity.buses.set(activityKey(changed), changed);
  activity.token = token;
  const sorted = [...activity.buses].toSorted(([one], [other]) => (one < other ? -1 : 1));
  return sorted.map(([, bus]) => bus);
}

/** @param {Pick<BusActivity, "project_id" | "task_id">} bus */
const activityKey = ({ project_id, task_id = "" }) => `${project_id}\n${task_id}`;

/**
 * @param {Bus} bus
 * @param {string | undefined} after the id after which to start
 */
export function openEventSource(bus, after) {
  const query = new URLSearchParams({ ...busFields(bus), ...(after && { after }) });
  return new EventSource(new URL(`messages/stream?${query}`, BASE));
}

/** The query parameters of a filter. @param {Filter} filter */
export function filterQuery(filter) {
  return {
    ...(filter.types.length && { type: filter.types.join(",") }),
    ...(filter.run && { run_id: filter.run }),
    ...(filter.text && { text: filter.text }),
    ...timeQuery(filter),
  };
}

/** @param {Bus} bus */
export const busFields = ({ project, task }) => ({ project_id: project, ...(task && { task_id: task }) });

/** @param {Filter} filter */
function timeQuery({ from, until }) {
  const start = from.startsWith("-") ? new Date(Date.now() + 1000 * Number(from)).toISOString() : from;
  return { ...(start && { from: start }), ...(until && { until }) };
}

/**
 * @param {string} path
 * @param {Record<string, string | number>} query
 */
async function get(path, query) {
  const pairs = Object.entries(query).map(([name, value]) => [name, String(value)]);
  return (await request(`${path}?${new URLSearchParams(pairs)}`, {})).json();
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [document]
 * @param {Record<string, string>} [headers]
 */
async function send(method, path, document, headers = {}) {
  const body = document === undefined ? {} : { body: JSON.stringify(document) };
  const response = await request(path, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    ...body,
  });
  return response.status === 204 ? undefined : response.json();
}

/**
 * @param {string} path
 * @param {RequestInit} options
 */
async function request(path, options) {
  const init = { cache: /** @type {const} */ ("no-store"), signal: AbortSignal.timeout(TIMEOUT), ...options };
  const response = await fetch(new URL(path, BASE), init).catch(() => {
    throw new ApiError(0, "the server does not respond");
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new ApiError(
    response.status,
    error?.message ?? `the server responded with status ${response.status}`,
    Boolean(error?.details?.stored),
  );
}
