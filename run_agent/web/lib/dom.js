/** Creating elements, finding those of index.html, and replacing what an element contains. */

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

/** Replacements postponed until the pointer is released. @type {Map<HTMLElement, Node[]>} */
const postponed = new Map();
/** @type {Node | null} */
let pressed = null;

/**
 * Replace the children of an element and keep the focus on the child with the same `data-name`. While the pointer is
 * down in the element, wait: a button that is replaced between press and release never gets its click.
 * @param {HTMLElement} element
 * @param {Node[]} children
 */
export function fill(element, children) {
  if (pressed && element.contains(pressed)) {
    postponed.set(element, children);
    return;
  }
  const active = document.activeElement;
  const name = active instanceof HTMLElement && element.contains(active) ? active.dataset.name : undefined;
  element.replaceChildren(...children);
  const replacement = name && element.querySelector(`[data-name="${CSS.escape(name)}"]`);
  if (replacement instanceof HTMLElement) replacement.focus({ preventScroll: true });
}

document.addEventListener("pointerdown", ({ target }) => {
  pressed = /** @type {Node} */ (target);
});
for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, () => setTimeout(fillPostponed));

function fillPostponed() {
  pressed = null;
  for (const [element, children] of postponed) fill(element, children);
  postponed.clear();
}
