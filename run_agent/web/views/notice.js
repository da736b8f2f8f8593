/** The notice in place of messages: loading, empty, no match, not reachable. */

import { copyButton } from "../lib/clipboard.js";
import { byId, make } from "../lib/dom.js";
import { busName } from "../model/route.js";

/** @typedef {import("../types.js").Bus} Bus */

/**
 * @param {string} text "" hides the notice
 * @param {Bus} [bus] also show the shell command that posts to it
 */
export function showNotice(text, bus) {
  const element = byId("notice");
  element.hidden = !text;
  byId("log").setAttribute("role", text ? "region" : "feed"); // a feed must contain articles
  element.replaceChildren(make("p", {}, text), ...(bus ? [commandLine(postCommand(bus))] : []));
}

/** @param {Bus} bus @param {boolean} isFiltered @param {boolean} isLoading older messages are still being searched */
export function showEmptyNotice(bus, isFiltered, isLoading) {
  if (isFiltered) showNotice(isLoading ? "Searching older messages…" : "No message matches this filter.");
  else showNotice(`No messages in ${busName(bus)} yet. Post the first one below, or from a shell:`, bus);
}

/** @param {string} command */
function commandLine(command) {
  const button = copyButton("button", "Copy", () => command);
  return make("div.command", {}, make("code", {}, command), button);
}

/** @param {Bus} bus */
const postCommand = ({ project, task }) =>
  `run-agent bus post --project ${project}${task ? ` --task ${task}` : ""} --body "Hello"`;
