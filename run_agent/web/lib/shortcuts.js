/** Keyboard shortcuts. `?` lists them. */

import { byId, make } from "./dom.js";

/** @typedef {{keys: string[], label: string, run: () => void}} Shortcut */

/** @param {Shortcut[]} shortcuts */
export function listenForShortcuts(shortcuts) {
  const help = /** @type {HTMLDialogElement} */ (byId("help"));
  const all = [...shortcuts, { keys: ["?"], label: "show the keyboard shortcuts", run: () => help.showModal() }];
  const actions = new Map(all.flatMap(({ keys, run }) => keys.map((key) => [key, run])));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isTextField(event.target)) /** @type {HTMLElement} */ (event.target).blur();
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      isTextField(event.target) ||
      document.querySelector("dialog[open]")
    )
      return;
    const action = actions.get(event.key);
    if (!action || activatesControl(event)) return;
    event.preventDefault();
    action();
  });
  byId("help-button").addEventListener("click", () => help.showModal());
  byId("help-keys").replaceChildren(
    ...all.flatMap(({ keys, label }) => [
      make("dt", {}, ...keys.flatMap((key, index) => [index ? " " : "", make("kbd", {}, keyName(key))])),
      make("dd", {}, label),
    ]),
  );
}

/** @param {EventTarget | null} target */
const isTextField = (target) => target instanceof HTMLElement && Boolean(target.closest("input, textarea, select"));

/** Enter and Space belong to the focused button or link. @param {KeyboardEvent} event */
const activatesControl = ({ key, target }) =>
  ["Enter", " "].includes(key) && target instanceof HTMLElement && Boolean(target.closest("button, a"));

/** @param {string} key */
const keyName = (key) => ({ ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", " ": "Space" })[key] ?? key;
