/** What can be shown or hidden: conversations and runs, which are drawers in a narrow window, and the chart. */

import { byId } from "../lib/dom.js";
import { storage } from "../lib/storage.js";

/** Classes of the body, by the button that toggles them. */
const DRAWERS = { "sidebar-button": "with-sidebar", "runs-button": "with-runs" };
const WIDE = 700; // pixels of a window in which the chart is shown unless the user has hidden it

/** Let the buttons show and hide things. */
export function setUpDrawers() {
  for (const [button, name] of Object.entries(DRAWERS))
    byId(button).addEventListener("click", () => toggle(name, button));
  byId("buses").addEventListener("click", closeDrawers);
  byId("backdrop").addEventListener("click", closeDrawers);
  byId("chart-button").addEventListener("click", () => storage.set("chart", toggle("with-chart", "chart-button")));
  if (storage.get("chart", innerWidth > WIDE)) toggle("with-chart", "chart-button");
  else byId("chart-button").setAttribute("aria-expanded", "false");
}

export function closeDrawers() {
  for (const [button, name] of Object.entries(DRAWERS))
    if (document.body.classList.contains(name)) toggle(name, button);
}

/** @param {string} name of the class @param {string} button */
function toggle(name, button) {
  const isShown = document.body.classList.toggle(name);
  byId(button).setAttribute("aria-expanded", String(isShown));
  byId("backdrop").hidden = !document.body.matches(".with-sidebar, .with-runs");
  return isShown;
}
