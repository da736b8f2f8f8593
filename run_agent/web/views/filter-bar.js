/** The controls of the filter: text, run, time, and a chip for each type with its count. */

import { byId, fill, make } from "../lib/dom.js";
import { storage } from "../lib/storage.js";
import { isUnfiltered, NO_FILTER } from "../model/filter.js";
import { typeColour } from "../model/message-types.js";

/** @typedef {import("../types.js").Filter} Filter */
/** @typedef {import("../types.js").Summary} Summary */

const TYPING_PAUSE = 250; // milliseconds without a key press until the text is applied

export class FilterBar {
  #filter = NO_FILTER;
  /** @type {Summary | null} */ #summary = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #typingTimer;
  colourBy = storage.get("by", "type"); // what the colours of the chart stand for: "type" or "run_id"

  /**
   * @param {(change: Partial<Filter>) => void} onChange
   * @param {() => void} onColourByChange
   */
  constructor(onChange, onColourByChange) {
    this.onChange = onChange;
    this.onColourByChange = onColourByChange;
    this.text = /** @type {HTMLInputElement} */ (byId("text"));
    this.run = /** @type {HTMLSelectElement} */ (byId("run"));
    this.time = /** @type {HTMLSelectElement} */ (byId("time"));
    this.colourButtons = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-by]")]);
    this.text.addEventListener("input", () => this.#textChanged());
    this.run.addEventListener("change", () => onChange({ run: this.run.value }));
    this.time.addEventListener("change", () => onChange({ from: this.time.value && `-${this.time.value}`, until: "" }));
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("filter").addEventListener("reset", () => onChange(NO_FILTER));
    for (const button of this.colourButtons)
      button.addEventListener("click", () => this.#chooseColourBy(button.dataset.by ?? ""));
    this.#showColourBy();
  }

  /** @param {Filter} filter @param {Summary | null} summary if it has been loaded */
  show(filter, summary) {
    this.#filter = filter;
    this.#summary = summary;
    if (document.activeElement !== this.text) this.text.value = filter.text;
    const isAbsolute = Boolean(filter.until || (filter.from && !filter.from.startsWith("-")));
    this.time.value = isAbsolute ? "absolute" : filter.from.slice(1);
    byId("clear").hidden = isUnfiltered(filter);
    this.#showRuns();
    this.#showTypes();
  }

  #showRuns() {
    const { run } = this.#filter;
    const names = new Set([...(this.#summary?.runs.map(({ run_id }) => run_id) ?? []), ...(run ? [run] : [])]);
    const shown = [...this.run.options].slice(1).map(({ value }) => value);
    if (!this.run.options.length || shown.length !== names.size || !shown.every((name) => names.has(name))) {
      const options = [...names].map((name) => make("option", { value: name }, name));
      this.run.replaceChildren(make("option", { value: "" }, "All runs"), ...options);
    }
    this.run.value = run;
  }

  /** The chips filter by type, show the counts, and are the legend of the chart. */
  #showTypes() {
    const types = Object.entries(this.#summary?.types ?? {}).sort(([, one], [, other]) => other - one);
    const chips = types.map(([type, count]) => this.#chip(type, count));
    fill(byId("types"), chips);
  }

  /** @param {string} type @param {number} count */
  #chip(type, count) {
    const pressed = String(this.#filter.types.includes(type));
    const properties = {
      type: "button",
      "aria-pressed": pressed,
      "data-name": type,
      onclick: () => this.#toggleType(type),
    };
    const number = make("span.number", {}, count.toLocaleString());
    const button = make("button.chip", properties, make("span.swatch"), type, number);
    button.dataset.colour = typeColour(type);
    return button;
  }

  /** @param {string} type */
  #toggleType(type) {
    const { types } = this.#filter;
    this.onChange({ types: types.includes(type) ? types.filter((other) => other !== type) : [...types, type] });
  }

  #textChanged() {
    clearTimeout(this.#typingTimer);
    this.#typingTimer = setTimeout(() => this.onChange({ text: this.text.value.trim() }), TYPING_PAUSE);
  }

  /** @param {string} by */
  #chooseColourBy(by) {
    this.colourBy = by;
    storage.set("by", by);
    this.#showColourBy();
    this.onColourByChange();
  }

  #showColourBy() {
    for (const button of this.colourButtons)
      button.setAttribute("aria-pressed", String(button.dataset.by === this.colourBy));
  }
}
