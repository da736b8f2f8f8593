/**
 * What the browser stores for this page. If it refuses (quota exceeded, or storage disabled), the values live as long
 * as this window.
 */

const PREFIX = "run-agent:";

/** Single values, by name. */
export const storage = {
  /**
   * @template T
   * @param {string} name
   * @param {T} fallback
   * @returns {T}
   */
  get: (name, fallback) => read(PREFIX + name) ?? fallback,
  /**
   * @param {string} name
   * @param {unknown} value
   */
  set: (name, value) => write(PREFIX + name, value),
};

/**
 * A map that all windows of this browser share. Each value is stored under a key of its own, so that a window which
 * writes one value cannot overwrite others with old ones.
 * @template T
 */
export class StoredMap {
  /** @type {Map<string, T>} */ #values = new Map();
  #prefix;
  #onChange;

  /** @param {string} name @param {() => void} onChange another window has changed the map */
  constructor(name, onChange) {
    this.#prefix = `${PREFIX}${name}:`;
    this.#onChange = onChange;
    this.#load();
    addEventListener("storage", ({ key }) => this.#changedElsewhere(key));
    // A page restored from the back/forward cache has missed the events since it was left.
    addEventListener("pageshow", ({ persisted }) => persisted && this.#changedElsewhere(null));
  }

  // API

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

  /** The value in storage at this moment; the event about a change arrives later. @param {string} name */
  readLatest(name) {
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

  // Internal

  #load() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(this.#prefix));
      this.#values = new Map(keys.map((key) => [key.slice(this.#prefix.length), read(key)]));
    } catch {
      // Storage is disabled: keep the values of this window.
    }
  }

  /** @param {string | null} key null: any of them */
  #changedElsewhere(key) {
    if (key === null) this.#load();
    else if (!key.startsWith(this.#prefix)) return;
    else {
      const value = read(key);
      const name = key.slice(this.#prefix.length);
      if (value === undefined) this.#values.delete(name);
      else this.#values.set(name, value);
    }
    this.#onChange();
  }
}

/** @param {string} key */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null") ?? undefined;
  } catch {
    return undefined; // storage is disabled, or another program wrote this value
  }
}

/** @param {string} key @param {unknown} value */
function write(key, value) {
  try {
    if (value === undefined) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(value));
  } catch {
    // quota exceeded, or storage is disabled
  }
}
