/** The keyboard. `?` shows this table. */

import { byId, make } from "./dom.js";

/** @typedef {{keys: string[], does: string, run: () => void}} Key */

/** @param {Key[]} table */
export function listen(table) {
  const help = /** @type {HTMLDialogElement} */ (byId("help"));
  const all = [...table, { keys: ["?"], does: "show the keyboard", run: () => help.showModal() }];
  const actions = new Map(all.flatMap(({ keys, run }) => keys.map((key) => [key, run])));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isWriting(event.target)) /** @type {HTMLElement} */ (event.target).blur();
    if (
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      isWriting(event.target) ||
      document.querySelector("dialog[open]")
    )
      return;
    const action = actions.get(event.key);
    if (!action || isPressing(event)) return;
    event.preventDefault();
    action();
  });
  byId("keys-button").addEventListener("click", () => help.showModal());
  byId("help-keys").replaceChildren(
    ...all.flatMap(({ keys, does }) => [
      make("dt", {}, ...keys.flatMap((key, index) => [index ? " " : "", make("kbd", {}, named(key))])),
      make("dd", {}, does),
    ]),
  );
}

/** @param {EventTarget | null} target */
const isWriting = (target) => target instanceof HTMLElement && Boolean(target.closest("input, textarea, select"));

/** Enter and the space belong to the button that has the focus. @param {KeyboardEvent} event */
const isPressing = ({ key, target }) =>
  ["Enter", " "].includes(key) && target instanceof HTMLElement && Boolean(target.closest("button, a"));

/** @param {string} key */
const named = (key) => ({ ArrowDown: "↓", ArrowUp: "↑", Escape: "Esc", " ": "Space" })[key] ?? key;
