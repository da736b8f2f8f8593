/**
 * The list of all conversations, with their latest activity and unread counts. It polls the server: one
 * request for what has changed every few seconds, however many conversations there are.
 */

import { fetchActivity } from "../lib/api.js";
import { byId, fill, make } from "../lib/dom.js";
import { storage } from "../lib/storage.js";
import { formatAge } from "../lib/time.js";
import { typeColour } from "../model/message-types.js";
import { busName, busOf, formatRoute, isSameBus } from "../model/route.js";
import { UnreadCounts } from "../model/unread-counts.js";

/** @typedef {import("../types.js").Bus} Bus */
/** @typedef {import("../types.js").BusActivity} BusActivity */

const INTERVAL = 3_000; // milliseconds
const INTERVAL_HIDDEN = 20_000;
const MAX_COUNT = 100; // the server does not count further

export class Sidebar {
  /** @type {BusActivity[]} */ #buses = [];
  #unread = new UnreadCounts(() => this.#readElsewhere());
  /** @type {Bus | null} */ #current = null;
  #isLatestFirst = storage.get("recent", true);
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {{onLoad: (buses: BusActivity[]) => void, onError: (error: unknown) => void}} listener */
  constructor(listener) {
    this.listener = listener;
    this.element = byId("buses");
    this.search = /** @type {HTMLInputElement} */ (byId("find-bus"));
    this.search.addEventListener("input", () => this.#show());
    this.sortButton = byId("sort");
    this.sortButton.addEventListener("click", () => this.#toggleOrder());
    document.addEventListener("visibilitychange", () => document.hidden || this.poll());
  }

  // API

  /** Fetch now, and again after each interval. */
  async poll() {
    clearTimeout(this.#timer);
    try {
      const buses = await fetchActivity();
      await this.#unread.update(buses);
      this.#buses = buses;
      this.#show();
      this.listener.onLoad(buses);
    } catch (error) {
      this.listener.onError(error);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.poll(), document.hidden ? INTERVAL_HIDDEN : INTERVAL);
  }

  /** The conversation with the newest message. @returns {Bus | undefined} */
  get latestBus() {
    const [latest] = this.#buses.toSorted(byTime);
    return latest && busOf(latest);
  }

  /** @param {Bus | null} bus */
  select(bus) {
    this.#current = bus;
    this.#show();
  }

  /** The user has seen all messages of a conversation up to this one. @param {Bus} bus @param {string} msgId */
  async markRead(bus, msgId) {
    try {
      if (await this.#unread.markRead(bus, msgId)) this.#show();
    } catch (error) {
      this.listener.onError(error);
    }
  }

  /**
   * The route of another conversation in the list.
   * @param {number} step how many further down; negative for up
   * @param {boolean} [isUnread] the next one with unread messages, instead
   */
  next(step, isUnread = false) {
    const links = [.../** @type {NodeListOf<HTMLAnchorElement>} */ (this.element.querySelectorAll("a.bus"))];
    const current = links.findIndex((link) => link.getAttribute("aria-current") === "page");
    if (isUnread) {
      const others = [...links.slice(current + 1), ...links.slice(0, current)];
      return others.find((link) => link.classList.contains("unread"))?.hash;
    }
    return links[Math.min(links.length - 1, Math.max(0, current + step))]?.hash;
  }

  // Internal

  #toggleOrder() {
    this.#isLatestFirst = !this.#isLatestFirst;
    storage.set("recent", this.#isLatestFirst);
    this.#show();
  }

  #readElsewhere() {
    if (this.#unread.clearRead(this.#buses)) this.#show();
  }

  #show() {
    const text = this.search.value.trim().toLowerCase();
    const shown = this.#buses.filter((activity) => busName(busOf(activity)).toLowerCase().includes(text));
    const projects = Map.groupBy(shown, ({ project_id }) => project_id);
    const groups = [...projects.values()];
    if (this.#isLatestFirst) {
      for (const group of groups) group.sort(byTime);
      groups.sort(([one], [other]) => byTime(one, other));
    }
    this.sortButton.textContent = this.#isLatestFirst ? "Latest first" : "By name";
    fill(
      this.element,
      groups.map((group) => this.#group(group)),
    );
    const total = this.#unread.total(this.#current);
    document.title = `${total ? `(${total}) ` : ""}${this.#current ? `${busName(this.#current)} · ` : ""}run-agent`;
  }

  /** @param {BusActivity[]} group */
  #group(group) {
    const own = group.find(({ task_id }) => !task_id);
    const tasks = group.filter(({ task_id }) => task_id);
    const project = group[0].project_id;
    return make(
      "section.project",
      { "aria-label": project },
      own ? this.#link(own, project, "bus.top") : make("div.bus.top", {}, make("span.name", {}, project)),
      ...tasks.map((task) => this.#link(task, task.task_id ?? "", "bus")),
    );
  }

  /** @param {BusActivity} activity @param {string} label @param {string} classes */
  #link(activity, label, classes) {
    const bus = busOf(activity);
    const isCurrent = isSameBus(bus, this.#current);
    const count = isCurrent ? 0 : this.#unread.get(bus);
    const countLabel = count >= MAX_COUNT ? `${MAX_COUNT - 1}+` : String(count);
    const { last, last_type = "INFO" } = activity;
    const link = make(
      `a.${classes}${count ? ".unread" : ""}`,
      { href: formatRoute(bus), "aria-current": isCurrent && "page" },
      make("span.dot"),
      make("span.name", {}, label),
      count > 0 && make("span.count", { "aria-label": `${count} unread` }, countLabel),
      make("span.age", { title: last && `last message ${last}` }, last ? formatAge(last) : "empty"),
    );
    link.dataset.name = busName(bus);
    link.dataset.colour = typeColour(last_type);
    return link;
  }
}

/** @param {BusActivity} one @param {BusActivity} other */
const byTime = (one, other) => (other.last ?? "").localeCompare(one.last ?? "");
