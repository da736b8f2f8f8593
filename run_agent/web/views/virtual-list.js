/**
 * A list of any length, of which only the rows in or near the viewport are in the document.
 *
 * Rows have whatever height they need; until one has been rendered, its height is estimated. The list either follows its end, or keeps the row at the top of the viewport in place, whatever
 * is added, removed or resized above or below it (the anchor).
 */

import { RowLayout } from "./row-layout.js";

/**
 * @template T
 * @typedef {object} Adapter
 * @property {(item: T) => string} key
 * @property {(item: T, before: T | undefined) => HTMLElement} render
 * @property {() => void} onScroll  The list has scrolled or changed.
 */
/**
 * @typedef {{keys: string[], offset: number}} Anchor  The row at the top of the viewport, the rows after it in case it
 *   is removed, and the distance of its top edge from that of the viewport.
 */

const OVERSCAN = 700; // pixels above and below the viewport in which rows are rendered, too
const NOWHERE = -10;
const NEAR_END = 48; // pixels from the end that still count as the end
const MAX_ANCHORS = 50; // rows

/** @template T */
export class VirtualList {
  /** @type {T[]} */ #items = [];
  /** @type {Map<string, number>} */ #index = new Map();
  /** The rows in the document. @type {Map<string, HTMLElement>} */ #rendered = new Map();
  #layout = new RowLayout();
  #above = document.createElement("div");
  #below = document.createElement("div");
  #isFollowing = true;
  #frame = 0;
  #expectedTop = NOWHERE; // set by our own scrolling, whose event is still to come
  #viewportHeight = 0;
  #start = 0; // the first rendered item
  #end = 0; // the item after the last rendered one

  /**
   * @param {HTMLElement} scroller
   * @param {Adapter<T>} adapter
   */
  constructor(scroller, adapter) {
    this.scroller = scroller;
    this.adapter = adapter;
    scroller.append(this.#above, this.#below);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("grow", (event) => this.#beforeGrow(event));
    this.sizes = new ResizeObserver((entries) => this.#resized(entries));
    this.sizes.observe(scroller);
  }

  // API

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Pixels between the viewport and either end. */
  get room() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return { above: scrollTop, below: scrollHeight - scrollTop - clientHeight };
  }

  /** Replace the items. @param {T[]} items @param {boolean} [isReset] forget all rows and scroll to the end */
  set(items, isReset = false) {
    const anchor = this.#anchor();
    this.#items = [...items]; // copied: the caller may mutate it, and the next anchor is found in the old items
    this.#index = new Map(items.map((item, index) => [this.adapter.key(item), index]));
    if (isReset) {
      for (const key of this.#rendered.keys()) this.#remove(key);
      this.#layout.forgetHeights();
      this.#isFollowing = true;
    }
    this.#layout.set([...this.#index.keys()]);
    this.#update(anchor);
  }

  /** Render rows again, because their content has changed. @param {Iterable<string>} keys */
  refresh(keys) {
    const anchor = this.#anchor();
    for (const key of keys) if (this.#rendered.has(key)) this.#remove(key);
    this.#update(anchor);
  }

  /** The row of a key, if it is in the document. @param {string} key */
  row(key) {
    return this.#rendered.get(key);
  }

  /** @param {string} key */
  has(key) {
    return this.#index.has(key);
  }

  /** The key some rows further down (or up, if negative). @param {string} key @param {number} step */
  neighbour(key, step) {
    const item = this.#items[(this.#index.get(key) ?? -1) + step];
    return item === undefined ? undefined : this.adapter.key(item);
  }

  get firstKey() {
    return this.#items.length ? this.adapter.key(this.#items[0]) : undefined;
  }

  /** The key of the first row whose top edge is visible. */
  firstVisible() {
    const top = this.scroller.scrollTop;
    return this.#rows().find(([, row]) => row.offsetTop >= top)?.[0];
  }

  scrollToEnd() {
    this.#isFollowing = true;
    this.#update(null);
  }

  /** Stay at this position when rows are added or grow. */
  stopFollowing() {
    this.#isFollowing = false;
  }

  /**
   * Scroll a row into view.
   * @param {string} key
   * @param {boolean} [isCentred] near the middle, even if it is in view already
   */
  reveal(key, isCentred = false) {
    const index = this.#index.get(key);
    if (index === undefined) return;
    const { clientHeight } = this.scroller;
    for (let attempt = 0; attempt < 4; attempt++) {
      // Rendering replaces estimated heights by real ones, so the target may move: try again.
      const top = this.#layout.top(index);
      const height = this.#layout.top(index + 1) - top;
      const { scrollTop } = this.scroller;
      if (!isCentred && top >= scrollTop && top + height <= scrollTop + clientHeight && this.#rendered.has(key)) break;
      const isBelow = top + height > scrollTop + clientHeight;
      const target = isCentred
        ? top - Math.max(0, clientHeight - height) / 3
        : isBelow
          ? Math.min(top, top + height - clientHeight + 8)
          : top - 8;
      this.#scrollTo(Math.max(0, target));
      this.#render();
    }
    this.#isFollowing = this.#isNearEnd();
    this.adapter.onScroll();
  }

  // Internal: positions

  /** The rows in the document, from top to bottom. */
  #rows() {
    return [...this.#rendered].sort(([one], [other]) => (this.#index.get(one) ?? 0) - (this.#index.get(other) ?? 0));
  }

  /** @returns {Anchor | null} */
  #anchor() {
    if (this.#isFollowing || !this.#items.length) return null;
    const top = this.scroller.scrollTop;
    const index = Math.min(this.#layout.indexAt(top), this.#items.length - 1);
    return {
      keys: this.#items.slice(index, index + MAX_ANCHORS).map(this.adapter.key),
      offset: this.#layout.top(index) - top,
    };
  }

  /** Render, keeping the anchor, or the end, where it was. @param {Anchor | null} anchor */
  #update(anchor) {
    const key = anchor?.keys.find((candidate) => this.#index.has(candidate));
    for (let attempt = 0; attempt < 3; attempt++) {
      this.#resizeSpacers();
      if (this.#isFollowing) this.#scrollTo(this.#layout.height + 10_000);
      else if (anchor && key) this.#scrollTo(this.#layout.top(this.#index.get(key) ?? 0) - anchor.offset);
      if (!this.#render()) break;
    }
    if (this.#isFollowing) this.#scrollTo(this.scroller.scrollHeight);
    this.adapter.onScroll();
  }

  /** @param {number} top */
  #scrollTo(top) {
    const before = this.scroller.scrollTop;
    this.scroller.scrollTop = top;
    if (this.scroller.scrollTop !== before) this.#expectedTop = this.scroller.scrollTop;
  }

  /** The elements above and below the rendered rows take the room of all others. */
  #resizeSpacers() {
    this.#above.style.height = `${this.#layout.top(this.#start)}px`;
    this.#below.style.height = `${this.#layout.height - this.#layout.top(this.#end)}px`;
  }

  /** Put the rows in and near the viewport into the document. True if the height of one was not as expected. */
  #render() {
    const { scrollTop, clientHeight } = this.scroller;
    this.#start = Math.min(this.#layout.indexAt(scrollTop - OVERSCAN), Math.max(0, this.#items.length - 1));
    this.#end = Math.min(this.#items.length, this.#layout.indexAt(scrollTop + clientHeight + OVERSCAN) + 1);
    const wanted = new Set();
    for (let index = this.#start; index < this.#end; index++) wanted.add(this.adapter.key(this.#items[index]));
    const focused = this.#rendered.has(document.activeElement?.closest("[data-key]")?.getAttribute("data-key") ?? "");
    for (const key of this.#rendered.keys()) if (!wanted.has(key)) this.#remove(key);
    if (focused && document.activeElement === document.body) this.scroller.focus({ preventScroll: true });
    let next = this.#above.nextSibling;
    for (let index = this.#start; index < this.#end; index++) {
      const key = this.adapter.key(this.#items[index]);
      let row = this.#rendered.get(key);
      if (!row) {
        row = this.adapter.render(this.#items[index], this.#items[index - 1]);
        row.dataset.key = key;
        this.#rendered.set(key, row);
        this.sizes.observe(row);
      }
      if (row === next) next = next.nextSibling;
      else this.scroller.insertBefore(row, next);
    }
    this.#resizeSpacers();
    return this.#measure();
  }

  /** @param {string} key */
  #remove(key) {
    const row = this.#rendered.get(key);
    if (!row) return;
    this.sizes.unobserve(row);
    row.remove();
    this.#rendered.delete(key);
  }

  /** True if the height of a rendered row has changed. */
  #measure() {
    const hasChanged = this.#layout.measure(this.#rendered);
    if (hasChanged) this.#resizeSpacers();
    return hasChanged;
  }

  get #lastKey() {
    const last = this.#items.at(-1);
    return last === undefined ? undefined : this.adapter.key(last);
  }

  #isNearEnd() {
    return this.room.below <= NEAR_END;
  }

  // Internal: events

  #scrolled() {
    const isOwn = Math.abs(this.scroller.scrollTop - this.#expectedTop) < 2;
    this.#expectedTop = NOWHERE;
    const isByUser = !isOwn && this.scroller.clientHeight === this.#viewportHeight; // resizing scrolls, too
    if (isByUser) this.#isFollowing = this.#isNearEnd();
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      this.#measure(); // a row may have grown in this frame, before the ResizeObserver reports it
      const anchor = this.#anchor();
      this.#update(anchor);
    });
  }

  /**
   * A row is about to grow, because its end is in view. If it is the last one, stop following, so that the user is not
   * carried past what is being read. If the list follows its end, other rows must not grow yet.
   * @param {Event} event
   */
  #beforeGrow(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("[data-key]");
    if (row?.getAttribute("data-key") === this.#lastKey) this.stopFollowing();
    else if (this.#isFollowing) event.preventDefault();
  }

  /** A row has another height, or the viewport another size. @param {ResizeObserverEntry[]} entries */
  #resized(entries) {
    const isViewport = entries.some(({ target }) => target === this.scroller);
    this.#viewportHeight = this.scroller.clientHeight;
    const anchor = this.#anchor();
    if (this.#measure() || isViewport) this.#update(anchor);
  }
}
