/** The panel of all runs, in groups: silent, running, ended, others. A click filters by a run. */

import { byId, fill, make } from "../lib/dom.js";
import { formatAge, formatDuration, secondsBetween } from "../lib/time.js";
import { runColour } from "../model/message-types.js";
import { isSilent } from "../model/runs.js";

/** @typedef {import("../types.js").Run} Run */

const MAX_LISTED = 60; // runs in a group

/** @param {Run[]} runs @param {string} chosen the run of the filter, or "" @param {(run: string) => void} onChoose */
export function showRuns(runs, chosen, onChoose) {
  const silent = runs.filter(isSilent);
  const others = runs.filter((run) => !isSilent(run));
  const ended = others.filter(({ state }) => state === "stopped" || state === "crashed");
  byId("silent-count").textContent = silent.length ? ` · ${silent.length} silent` : "";
  const groups = Object.entries({
    Silent: silent,
    Running: others.filter(({ state }) => state === "running"),
    Ended: ended,
    Others: others.filter(({ state }) => state === "unknown"),
  });
  fill(byId("runs-panel"), [
    ...groups.flatMap(([title, members]) => group(title, members, chosen, onChoose)),
    ...(runs.length ? [] : [make("p.none", {}, "No message in this conversation names a run.")]),
  ]);
}

/** @param {string} title @param {Run[]} runs @param {string} chosen @param {(run: string) => void} onChoose */
function group(title, runs, chosen, onChoose) {
  if (!runs.length) return [];
  return [
    make("h2", {}, title, make("span.count", {}, String(runs.length))),
    make("ul.runs", {}, ...runs.slice(0, MAX_LISTED).map((run) => make("li", {}, entry(run, chosen, onChoose)))),
  ];
}

/** @param {Run} run @param {string} chosen @param {(run: string) => void} onChoose */
function entry(run, chosen, onChoose) {
  const button = make(
    "button.run-entry",
    {
      type: "button",
      "aria-pressed": String(run.run_id === chosen),
      onclick: () => onChoose(run.run_id === chosen ? "" : run.run_id),
    },
    make("span.name", {}, run.run_id),
    make("span.status", {}, status(run)),
  );
  button.dataset.state = isSilent(run) ? "silent" : run.state;
  button.dataset.name = run.run_id;
  button.dataset.run = runColour(run.run_id);
  return button;
}

/** @param {Run} run */
function status(run) {
  const count = `${run.count} message${run.count === 1 ? "" : "s"}`;
  if (isSilent(run))
    return `silent for ${formatDuration(secondsBetween(run.last, new Date().toISOString()))} · ${count}`;
  if (run.state === "running" && run.started)
    return `for ${formatDuration(secondsBetween(run.started, new Date().toISOString()))} · ${count}`;
  const took = run.started && run.ended ? ` after ${formatDuration(secondsBetween(run.started, run.ended))}` : "";
  const label = { stopped: "ended", crashed: "crashed", running: "running", unknown: `last ${formatAge(run.last)}` }[
    run.state
  ];
  return `${label}${took} · ${count}`;
}
