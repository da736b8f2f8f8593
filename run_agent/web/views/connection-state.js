/** Shows whether the page is connected to the server. */

import { byId } from "../lib/dom.js";

/** @param {import("../model/stream.js").State} state @param {number} [seconds] until the next attempt */
export function showConnectionState(state, seconds) {
  const labels = {
    connecting: "Connecting",
    live: "Live",
    offline: `Offline${seconds ? `, retrying in ${seconds} s` : ""}`,
    paused: "Paused",
  };
  const element = byId("state");
  element.dataset.state = state;
  element.textContent = labels[state];
}
