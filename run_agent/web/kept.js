/** What this browser keeps over reloads. Where it refuses to (full, or forbidden), only this window knows it. */

const PREFIX = "run-agent:";

/** @param {string} key */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined;
  } catch {
    return undefined; // forbidden, or not ours
  }
}

/** @param {string} key @param {unknown} value */
function write(key, value) {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // full, or forbidden
  }
}

/** Single values. */
export const kept = {
  /**
   * @template T
   * @param {string} name
   * @param {T} otherwise
   * @returns {T}
   */
  get: (name, otherwise) => read(PREFIX + name) ?? otherwise,
  /**
   * @param {string} name
   * @param {unknown} value
   */
  set: (name, value) => write(PREFIX + name, value),
};

/**
 * Many values of one kind, each stored under its own name, so that no window writes back an old value of something
 * that another window has changed. All windows have the same.
 * @template T
 */
export class Shelf {
  /** @type {Map<string, T>} */ #values = new Map();
  #prefix;
  #changed;

  /** @param {string} kind @param {() => void} changed by another window */
  constructor(kind, changed) {
    this.#prefix = `${PREFIX}${kind}:`;
    this.#changed = changed;
    this.#load();
    addEventListener("storage", ({ key }) => this.#happened(key));
    addEventListener("pageshow", ({ persisted }) => persisted && this.#happened(null)); // what it slept through
  }

  get size() {
    return this.#values.size;
  }

  entries() {
    return [...this.#values];
  }

  /** @param {string} name */
  get(name) {
    return this.#values.get(name);
  }

  /** What is stored at this moment: it is told to the other windows a little later. @param {string} name */
  latest(name) {
    const value = read(this.#prefix + name);
    if (value !== undefined) this.#values.set(name, value);
    return this.#values.get(name);
  }

  /** @param {string} name @param {T} value */
  set(name, value) {
    this.#values.set(name, value);
    write(this.#prefix + name, value);
  }

  /** @param {string} name */
  delete(name) {
    this.#values.delete(name);
    write(this.#prefix + name, undefined);
  }

  #load() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.#prefix));
      this.#values = new Map(keys.map((key) => [key.slice(this.#prefix.length), read(key)]));
    } catch {
      // forbidden: what this window knows is all
    }
  }

  /** @param {string | null} key null: any of them */
  #happened(key) {
    if (key === null) this.#load();
    else if (!key.startsWith(this.#prefix)) return;
    else {
      const value = read(key);
      const name = key.slice(this.#prefix.length);
      if (value === undefined) this.#values.delete(name);
      else this.#values.set(name, value);
    }
    this.#changed();
  }
}
