/** Making elements, and finding those of index.html. */

/**
 * @param {string} name tag, with classes after dots: "span.tag.small"
 * @param {Record<string, unknown>} properties attributes; `on…` are listeners
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElement}
 */
export function make(name, properties = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * The element of index.html with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return /** @type {T} */ (element);
}

/** What waits for a finger to be lifted. @type {Map<HTMLElement, Node[]>} */
const waiting = new Map();
/** @type {Node | null} */
let pressed = null;

/**
 * Replace what an element holds. Not under a finger: a button that goes between press and release is never clicked.
 * The focus stays at what has the same `data-name`.
 * @param {HTMLElement} element
 * @param {Node[]} children
 */
export function fill(element, children) {
  if (pressed && element.contains(pressed)) {
    waiting.set(element, children);
    return;
  }
  const active = document.activeElement;
  const name = active instanceof HTMLElement && element.contains(active) ? active.dataset.name : undefined;
  element.replaceChildren(...children);
  const again = name && element.querySelector(`[data-name="${CSS.escape(name)}"]`);
  if (again instanceof HTMLElement) again.focus({ preventScroll: true });
}

document.addEventListener("pointerdown", ({ target }) => {
  pressed = /** @type {Node} */ (target);
});
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(release));

function release() {
  pressed = null;
  for (const [element, children] of waiting) fill(element, children);
  waiting.clear();
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // no permission, or no secure context
  }
}
