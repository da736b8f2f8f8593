/**
 * A list of any length of which only what is seen is in the document. Rows have the heights that they
 * have; what the reader looks at stays where it is, whatever comes above or below.
 */

/**
 * @template T
 * @typedef {{key: (item: T) => string, render: (item: T, before: T | undefined) => HTMLElement, moved: () => void}} Plan
 */
/** @typedef {{keys: string[], offset: number}} Anchor  What the reader looks at (or what follows it), and where in the window. */

const GUESS = 72; // pixels of a row that was never seen
const AROUND = 700; // pixels that are there above and below what is seen
const NOWHERE = -10;
const NEAR = 48; // pixels from the end that still count as the end

/** @template T */
export class List {
  /** @type {T[]} */ #items = [];
  /** @type {Map<string, number>} */ #index = new Map();
  /** @type {Map<string, number>} */ #heights = new Map();
  /** @type {Map<string, HTMLElement>} */ #shown = new Map();
  /** @type {number[]} */ #tops = [0];
  #above = document.createElement("div");
  #below = document.createElement("div");
  #isFollowing = true;
  #frame = 0;
  #expected = NOWHERE; // where we ourselves scrolled to
  #window = 0;
  #firstDrawn = 0;
  #lastDrawn = 0;

  /**
   * @param {HTMLElement} scroller
   * @param {Plan<T>} plan
   */
  constructor(scroller, plan) {
    this.scroller = scroller;
    this.plan = plan;
    scroller.append(this.#above, this.#below);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("grow", (event) => this.#grows(event));
    this.sizes = new ResizeObserver((entries) => this.#resized(entries));
    this.sizes.observe(scroller);
  }

  get isFollowing() {
    return this.#isFollowing;
  }

  /** Pixels between what is seen and either end. */
  get room() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return { above: scrollTop, below: scrollHeight - scrollTop - clientHeight };
  }

  /** What to show. `fresh`: forget all that was seen, and stand at the end. @param {T[]} items @param {boolean} [fresh] */
  set(items, fresh = false) {
    const anchor = this.#anchor();
    this.#items = [...items]; // whose it is may change it, and the place of what is seen is looked up in the old one
    this.#index = new Map(items.map((item, index) => [this.plan.key(item), index]));
    if (fresh) {
      for (const key of this.#shown.keys()) this.#remove(key);
      this.#heights.clear();
      this.#isFollowing = true;
    }
    this.#layOut();
    this.#stay(anchor);
  }

  /** Make rows anew, because what they say has changed. @param {Iterable<string>} keys */
  refresh(keys) {
    const anchor = this.#anchor();
    for (const key of keys) if (this.#shown.has(key)) this.#remove(key);
    this.#stay(anchor);
  }

  /** The row of a key, if it is shown. @param {string} key */
  row(key) {
    return this.#shown.get(key);
  }

  /** @param {string} key */
  has(key) {
    return this.#index.has(key);
  }

  /** The key so many rows further on, or none. @param {string} key @param {number} step */
  neighbour(key, step) {
    const item = this.#items[(this.#index.get(key) ?? -1) + step];
    return item === undefined ? undefined : this.plan.key(item);
  }

  /** The key of the last row, or the first. @param {boolean} last */
  end(last) {
    const item = last ? this.#items.at(-1) : this.#items[0];
    return item === undefined ? undefined : this.plan.key(item);
  }

  /** The key of the first row that is seen whole. */
  firstSeen() {
    const top = this.scroller.scrollTop;
    return this.#rows().find(([, row]) => row.offsetTop >= top)?.[0];
  }

  toEnd() {
    this.#isFollowing = true;
    this.#stay(null);
  }

  /** Stay here, though rows at the end grow. */
  leaveEnd() {
    this.#isFollowing = false;
  }

  /** Bring a row into view. @param {string} key @param {boolean} [middle] @returns {HTMLElement | undefined} */
  reveal(key, middle = false) {
    const index = this.#index.get(key);
    if (index === undefined) return undefined;
    const { clientHeight } = this.scroller;
    for (let attempt = 0; attempt < 4; attempt++) {
      // Rows that were guessed get their heights when they are first shown: look again.
      const top = this.#tops[index];
      const height = this.#tops[index + 1] - top;
      const { scrollTop } = this.scroller;
      if (!middle && top >= scrollTop && top + height <= scrollTop + clientHeight && this.#shown.has(key)) break;
      const isBelow = top + height > scrollTop + clientHeight;
      const want = middle
        ? top - Math.max(0, clientHeight - height) / 3
        : isBelow
          ? Math.min(top, top + height - clientHeight + 8)
          : top - 8;
      this.#scrollTo(Math.max(0, want));
      this.#draw();
    }
    this.#isFollowing = this.#isNearEnd();
    this.plan.moved();
    return this.#shown.get(key);
  }

  // --- where things are ---

  #layOut() {
    this.#tops = new Array(this.#items.length + 1);
    this.#tops[0] = 0;
    for (let index = 0; index < this.#items.length; index++) {
      this.#tops[index + 1] = this.#tops[index] + (this.#heights.get(this.plan.key(this.#items[index])) ?? GUESS);
    }
  }

  /** The first index whose row ends below this. @param {number} y */
  #at(y) {
    let [low, high] = [0, this.#items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #rows() {
    return [...this.#shown].sort(([one], [other]) => (this.#index.get(one) ?? 0) - (this.#index.get(other) ?? 0));
  }

  /** @returns {Anchor | null} */
  #anchor() {
    if (this.#isFollowing || !this.#items.length) return null;
    const top = this.scroller.scrollTop;
    const index = Math.min(this.#at(top), this.#items.length - 1);
    return { keys: this.#items.slice(index, index + 50).map(this.plan.key), offset: this.#tops[index] - top };
  }

  /** Show what belongs here, and put the anchor, or the end, where it was. @param {Anchor | null} anchor */
  #stay(anchor) {
    const key = anchor?.keys.find((one) => this.#index.has(one));
    for (let attempt = 0; attempt < 3; attempt++) {
      this.#fit();
      if (this.#isFollowing) this.#scrollTo(this.#tops[this.#items.length] + 10_000);
      else if (anchor && key) this.#scrollTo(this.#tops[this.#index.get(key) ?? 0] - anchor.offset);
      if (!this.#draw()) break;
    }
    if (this.#isFollowing) this.#scrollTo(this.scroller.scrollHeight);
    this.plan.moved();
  }

  /** @param {number} top */
  #scrollTo(top) {
    const before = this.scroller.scrollTop;
    this.scroller.scrollTop = top;
    if (this.scroller.scrollTop !== before) this.#expected = this.scroller.scrollTop;
  }

  #fit() {
    const first = this.#firstDrawn;
    const last = this.#lastDrawn;
    this.#above.style.height = `${this.#tops[Math.min(first, this.#items.length)]}px`;
    this.#below.style.height = `${this.#tops[this.#items.length] - this.#tops[Math.min(last, this.#items.length)]}px`;
  }

  /** Put in the document what is seen. True where a row had another height than was thought. */
  #draw() {
    const { scrollTop, clientHeight } = this.scroller;
    this.#firstDrawn = Math.min(this.#at(scrollTop - AROUND), Math.max(0, this.#items.length - 1));
    this.#lastDrawn = Math.min(this.#items.length, this.#at(scrollTop + clientHeight + AROUND) + 1);
    const wanted = new Set();
    for (let index = this.#firstDrawn; index < this.#lastDrawn; index++) wanted.add(this.plan.key(this.#items[index]));
    const focused = this.#shown.has(document.activeElement?.closest("[data-key]")?.getAttribute("data-key") ?? "");
    for (const key of this.#shown.keys()) if (!wanted.has(key)) this.#remove(key);
    if (focused && document.activeElement === document.body) this.scroller.focus({ preventScroll: true });
    let place = this.#above.nextSibling;
    for (let index = this.#firstDrawn; index < this.#lastDrawn; index++) {
      const key = this.plan.key(this.#items[index]);
      let row = this.#shown.get(key);
      if (!row) {
        row = this.plan.render(this.#items[index], this.#items[index - 1]);
        row.dataset.key = key;
        this.#shown.set(key, row);
        this.sizes.observe(row);
      }
      if (row === place) place = place.nextSibling;
      else this.scroller.insertBefore(row, place);
    }
    this.#fit();
    return this.#measure();
  }

  /** @param {string} key */
  #remove(key) {
    const row = this.#shown.get(key);
    if (!row) return;
    this.sizes.unobserve(row);
    row.remove();
    this.#shown.delete(key);
  }

  #measure() {
    let isOther = false;
    for (const [key, row] of this.#shown) {
      const height = row.offsetHeight;
      if (this.#heights.get(key) !== height) {
        this.#heights.set(key, height);
        isOther = true;
      }
    }
    if (isOther) {
      this.#layOut();
      this.#fit();
    }
    return isOther;
  }

  #isNearEnd() {
    return this.room.below <= NEAR;
  }

  // --- what happens ---

  #scrolled() {
    const isOurs = Math.abs(this.scroller.scrollTop - this.#expected) < 2;
    this.#expected = NOWHERE;
    if (!isOurs && this.scroller.clientHeight === this.#window) this.#isFollowing = this.#isNearEnd(); // not we, nor the window
    cancelAnimationFrame(this.#frame);
    this.#frame = requestAnimationFrame(() => {
      this.#measure(); // a row may have grown in this frame, and nobody has said so yet
      const anchor = this.#anchor();
      this.#stay(anchor);
    });
  }

  /** A row is about to grow, as it is read. Who follows the end reads the last row alone, and is not taken past it. @param {Event} event */
  #grows(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("[data-key]");
    if (row?.getAttribute("data-key") === this.end(true)) this.leaveEnd();
    else if (this.#isFollowing) event.preventDefault();
  }

  /** A row was folded or unfolded, or the window got another size. @param {ResizeObserverEntry[]} entries */
  #resized(entries) {
    const isWindow = entries.some(({ target }) => target === this.scroller);
    this.#window = this.scroller.clientHeight;
    const anchor = this.#anchor();
    if (this.#measure() || isWindow) this.#stay(anchor);
  }
}
