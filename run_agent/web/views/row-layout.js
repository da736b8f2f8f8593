/** The offsets of the rows of a virtual list. A row that has never been measured counts with an estimated height. */

const ESTIMATED_HEIGHT = 72; // pixels

export class RowLayout {
  /** @type {string[]} */ #keys = [];
  /** Measured ones. @type {Map<string, number>} */ #heights = new Map();
  /** The offset of each row, and of the end. @type {number[]} */ #tops = [0];

  /** @param {string[]} keys of all rows, in order */
  set(keys) {
    this.#keys = keys;
    this.#update();
  }

  forgetHeights() {
    this.#heights.clear();
  }

  /** The offset of a row, or of the end. @param {number} index */
  top(index) {
    return this.#tops[Math.min(index, this.#keys.length)];
  }

  /** The height of all rows. */
  get height() {
    return this.#tops[this.#keys.length];
  }

  /** The index of the row at an offset. @param {number} y */
  indexAt(y) {
    let [low, high] = [0, this.#keys.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Measure these rows. True if the height of one was not as expected. @param {Map<string, HTMLElement>} rows */
  measure(rows) {
    let hasChanged = false;
    for (const [key, row] of rows) {
      const height = row.offsetHeight;
      if (this.#heights.get(key) !== height) {
        this.#heights.set(key, height);
        hasChanged = true;
      }
    }
    if (hasChanged) this.#update();
    return hasChanged;
  }

  #update() {
    this.#tops = new Array(this.#keys.length + 1);
    this.#tops[0] = 0;
    for (const [index, key] of this.#keys.entries())
      this.#tops[index + 1] = this.#tops[index] + (this.#heights.get(key) ?? ESTIMATED_HEIGHT);
  }
}
