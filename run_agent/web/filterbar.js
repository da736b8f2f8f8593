/** The filter as one sees and changes it: text, run, time, and the types with their counts. */

import { byId, fill, make } from "./dom.js";
import { EVERYTHING, isEverything } from "./filter.js";
import { kept } from "./kept.js";
import { colour } from "./kinds.js";

/** @typedef {import("./types.js").Filter} Filter */
/** @typedef {import("./types.js").Summary} Summary */

const TYPING = 250; // milliseconds without a key until a text is looked for

export class FilterBar {
  #filter = EVERYTHING;
  /** @type {Summary | null} */ #numbers = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #typing;
  by = kept.get("by", "type"); // what the colours of the chart mean

  /**
   * @param {(change: Partial<Filter>) => void} narrow
   * @param {() => void} recolour
   */
  constructor(narrow, recolour) {
    this.narrow = narrow;
    this.recolour = recolour;
    this.text = /** @type {HTMLInputElement} */ (byId("text"));
    this.run = /** @type {HTMLSelectElement} */ (byId("run"));
    this.when = /** @type {HTMLSelectElement} */ (byId("when"));
    this.colours = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("[data-by]")]);
    this.text.addEventListener("input", () => this.#typed());
    this.run.addEventListener("change", () => narrow({ run: this.run.value }));
    this.when.addEventListener("change", () => narrow({ from: this.when.value && `-${this.when.value}`, until: "" }));
    byId("filter").addEventListener("submit", (event) => event.preventDefault());
    byId("filter").addEventListener("reset", () => narrow(EVERYTHING));
    for (const button of this.colours) button.addEventListener("click", () => this.#chose(button.dataset.by ?? ""));
    this.#showBy();
  }

  /** @param {Filter} filter @param {Summary | null} numbers what is known of the conversation */
  show(filter, numbers) {
    this.#filter = filter;
    this.#numbers = numbers;
    if (document.activeElement !== this.text) this.text.value = filter.text;
    const isBrushed = Boolean(filter.until || (filter.from && !filter.from.startsWith("-")));
    this.when.value = isBrushed ? "brushed" : filter.from.slice(1);
    byId("clear").hidden = isEverything(filter);
    this.#showRuns();
    this.#showTypes();
  }

  #showRuns() {
    const { run } = this.#filter;
    const names = new Set([...(this.#numbers?.runs.map(({ run_id }) => run_id) ?? []), ...(run ? [run] : [])]);
    const shown = [...this.run.options].slice(1).map(({ value }) => value);
    if (!this.run.options.length || shown.length !== names.size || !shown.every((name) => names.has(name))) {
      const options = [...names].map((name) => make("option", { value: name }, name));
      this.run.replaceChildren(make("option", { value: "" }, "All runs"), ...options);
    }
    this.run.value = run;
  }

  /** Counts per type; they are the filter, and the legend of the chart. */
  #showTypes() {
    const types = Object.entries(this.#numbers?.types ?? {}).sort(([, one], [, other]) => other - one);
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
      onclick: () => this.#toggle(type),
    };
    const number = make("span.number", {}, count.toLocaleString());
    const button = make("button.chip", properties, make("span.swatch"), type, number);
    button.dataset.colour = colour(type);
    return button;
  }

  /** @param {string} type */
  #toggle(type) {
    const { types } = this.#filter;
    this.narrow({ types: types.includes(type) ? types.filter((other) => other !== type) : [...types, type] });
  }

  #typed() {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.narrow({ text: this.text.value.trim() }), TYPING);
  }

  /** @param {string} by */
  #chose(by) {
    this.by = by;
    kept.set("by", by);
    this.#showBy();
    this.recolour();
  }

  #showBy() {
    for (const button of this.colours) button.setAttribute("aria-pressed", String(button.dataset.by === this.by));
  }
}
