/** All conversations: what happens there, and how much of it is unread. One conditional request every few seconds, however many. */

import { activity, unread } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { isSame, nameOf, toAddress } from "./filter.js";
import { kept } from "./kept.js";
import { colour } from "./kinds.js";
import { ReadMarks } from "./read-marks.js";
import { ago } from "./time.js";

/** @typedef {import("./types.js").Active} Active */
/** @typedef {import("./types.js").Bus} Bus */

const EVERY = 3_000; // milliseconds
const EVERY_HIDDEN = 20_000;
const MOST = 100; // what the server counts up to

/** @param {Active} active @returns {Bus} */
const busOf = ({ project_id, task_id }) => ({ project: project_id, ...(task_id && { task: task_id }) });

export class Sidebar {
  /** @type {Active[]} */ #buses = [];
  #marks = new ReadMarks(() => this.#readElsewhere());
  /** How many come after a mark, and up to which message that was counted. @type {Map<string, {mark: string, last: string, count: number}>} */
  #unread = new Map();
  /** @type {Bus | null} */ #current = null;
  #isFirst = this.#marks.areNone;
  #isRecent = kept.get("recent", true);
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {{loaded: (buses: Active[]) => void, failed: (error: unknown) => void}} listener */
  constructor(listener) {
    this.listener = listener;
    this.element = byId("buses");
    this.find = /** @type {HTMLInputElement} */ (byId("find-bus"));
    this.find.addEventListener("input", () => this.#show());
    this.sort = byId("sort");
    this.sort.addEventListener("click", () => this.#reorder());
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
  }

  get buses() {
    return this.#buses.map(busOf);
  }

  /** Look now, and again and again. */
  async look() {
    clearTimeout(this.#timer);
    try {
      const buses = await activity();
      await this.#count(buses);
      this.#buses = buses;
      this.#show();
      this.listener.loaded(buses);
    } catch (error) {
      this.listener.failed(error);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), document.hidden ? EVERY_HIDDEN : EVERY);
  }

  /** @param {Bus | null} bus */
  select(bus) {
    this.#current = bus;
    this.#show();
  }

  /** All of a conversation up to this id has been seen. @param {Bus} bus @param {string} msgId */
  async saw(bus, msgId) {
    try {
      if (!(await this.#marks.saw(bus, msgId))) return;
    } catch (error) {
      return this.listener.failed(error);
    }
    const name = nameOf(bus);
    const wasUnread = this.#unread.get(name)?.count;
    this.#unread.set(name, { mark: msgId, last: msgId, count: 0 });
    if (wasUnread) this.#show();
  }

  /** The conversation so many further down, or the next one with something unread. @param {number} step @param {boolean} [isUnread] */
  next(step, isUnread = false) {
    const links = [.../** @type {NodeListOf<HTMLAnchorElement>} */ (this.element.querySelectorAll("a.bus"))];
    const here = links.findIndex((link) => link.getAttribute("aria-current") === "page");
    if (isUnread)
      return [...links.slice(here + 1), ...links.slice(0, here)].find((link) => link.classList.contains("unread"))
        ?.hash;
    return links[Math.min(links.length - 1, Math.max(0, here + step))]?.hash;
  }

  #reorder() {
    this.#isRecent = !this.#isRecent;
    kept.set("recent", this.#isRecent);
    this.#show();
  }

  /** Ask for those alone in which something came. @param {Active[]} buses */
  async #count(buses) {
    if (this.#isFirst) for (const active of buses) this.#missedNothing(active);
    this.#isFirst = false;
    const changed = buses.filter((active) => active.last_id && this.#isNews(active, active.last_id));
    const asked = changed.slice(0, 1_000).map(({ project_id, task_id, last_id: last = "" }) => {
      const name = nameOf(busOf({ project_id, task_id, size: 0 }));
      return { name, last, mark: this.#marks.get(name) ?? "", bus: { project_id, ...(task_id && { task_id }) } };
    });
    if (!asked.length) return;
    const { counts } = await unread(asked.map(({ bus, mark }) => ({ ...bus, ...(mark && { after: mark }) })));
    for (const [index, { name, mark, last }] of asked.entries())
      this.#unread.set(name, { mark, last, count: counts[index] });
  }

  /** Who comes for the first time. @param {Active} active */
  #missedNothing(active) {
    const name = nameOf(busOf(active));
    if (active.last_id && !this.#marks.get(name)) this.#marks.set(name, active.last_id);
  }

  /** Has anything come, or been read, since it was counted? @param {Active} active @param {string} last */
  #isNews(active, last) {
    const name = nameOf(busOf(active));
    const mark = this.#marks.get(name) ?? "";
    if (mark === last) this.#unread.set(name, { mark, last, count: 0 });
    const counted = this.#unread.get(name);
    return counted?.last !== last || counted.mark !== mark;
  }

  /** Another window has moved a mark: what is read to the end is so here, too; the next look counts the others. */
  #readElsewhere() {
    const isRead = (/** @type {Active} */ active) =>
      this.#unread.get(nameOf(busOf(active)))?.count && this.#marks.get(nameOf(busOf(active))) === active.last_id;
    const read = this.#buses.filter(isRead);
    for (const active of read) this.#isNews(active, active.last_id ?? "");
    if (read.length) this.#show();
  }

  #show() {
    const wanted = this.find.value.trim().toLowerCase();
    const shown = this.#buses.filter((active) => nameOf(busOf(active)).toLowerCase().includes(wanted));
    const projects = Map.groupBy(shown, ({ project_id }) => project_id);
    const groups = [...projects.values()];
    if (this.#isRecent) {
      for (const group of groups) group.sort(byTime);
      groups.sort(([one], [other]) => byTime(one, other));
    }
    this.sort.textContent = this.#isRecent ? "Latest first" : "By name";
    fill(
      this.element,
      groups.map((group) => this.#group(group)),
    );
    const total = [...this.#unread]
      .filter(([name]) => !this.#current || name !== nameOf(this.#current))
      .reduce((sum, [, { count }]) => sum + count, 0);
    document.title = `${total ? `(${total}) ` : ""}${this.#current ? `${nameOf(this.#current)} · ` : ""}run-agent`;
  }

  /** @param {Active[]} group */
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

  /** @param {Active} active @param {string} label @param {string} classes */
  #link(active, label, classes) {
    const bus = busOf(active);
    const count = isSame(bus, this.#current) ? 0 : (this.#unread.get(nameOf(bus))?.count ?? 0);
    const link = make(
      `a.${classes}${count ? ".unread" : ""}`,
      { href: toAddress(bus), "aria-current": isSame(bus, this.#current) && "page" },
      make("span.dot"),
      make("span.name", {}, label),
      count > 0 &&
        make("span.count", { "aria-label": `${count} unread` }, count >= MOST ? `${MOST - 1}+` : String(count)),
      make(
        "span.ago",
        { title: active.last && `last message ${active.last}` },
        active.last ? ago(active.last) : "empty",
      ),
    );
    link.dataset.name = nameOf(bus);
    link.dataset.colour = colour(active.last_type ?? "INFO");
    return link;
  }
}

/** @param {Active} one @param {Active} other */
const byTime = (one, other) => (other.last ?? "").localeCompare(one.last ?? "");
