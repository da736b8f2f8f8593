/** Runs: which work, which have fallen silent, which ended and how. */

import { byId, fill, make } from "./dom.js";
import { colourOfRun } from "./kinds.js";
import { ago, between, duration } from "./time.js";

/** @typedef {import("./types.js").Run} Run */

const SILENT = 300; // seconds without a word, of a run that has not ended
const MOST = 60; // runs that are listed

/** Is it running, as far as anybody knows, and says nothing? @param {Run} run */
export const isSilent = ({ state, last }) => state === "running" && (Date.now() - Date.parse(last)) / 1000 > SILENT;

/** @param {Run[]} runs @param {string} chosen @param {(run: string) => void} choose */
export function showRuns(runs, chosen, choose) {
  const silent = runs.filter(isSilent);
  byId("silent-count").textContent = silent.length ? ` · ${silent.length} silent` : "";
  const others = runs.filter((run) => !isSilent(run));
  const running = others.filter(({ state }) => state === "running");
  const rest = others.filter(({ state }) => state !== "running");
  fill(byId("panel"), [
    ...group("Silent", silent, chosen, choose),
    ...group("Running", running, chosen, choose),
    ...group(
      "Ended",
      rest.filter(({ state }) => state !== "unknown"),
      chosen,
      choose,
    ),
    ...group(
      "Others",
      rest.filter(({ state }) => state === "unknown"),
      chosen,
      choose,
    ),
    ...(runs.length ? [] : [make("p.none", {}, "No message here names a run.")]),
  ]);
}

/** @param {string} title @param {Run[]} runs @param {string} chosen @param {(run: string) => void} choose */
function group(title, runs, chosen, choose) {
  if (!runs.length) return [];
  return [
    make("h2", {}, title, make("span.count", {}, String(runs.length))),
    make("ul.runs", {}, ...runs.slice(0, MOST).map((run) => make("li", {}, line(run, chosen, choose)))),
  ];
}

/** @param {Run} run @param {string} chosen @param {(run: string) => void} choose */
function line(run, chosen, choose) {
  const button = make(
    "button.run-entry",
    {
      type: "button",
      "aria-pressed": String(run.run_id === chosen),
      onclick: () => choose(run.run_id === chosen ? "" : run.run_id),
    },
    make("span.name", {}, run.run_id),
    make("span.about", {}, about(run)),
  );
  button.dataset.state = isSilent(run) ? "silent" : run.state;
  button.dataset.name = run.run_id;
  button.dataset.run = colourOfRun(run.run_id);
  return button;
}

/** @param {Run} run */
function about(run) {
  const count = `${run.count} message${run.count === 1 ? "" : "s"}`;
  if (isSilent(run)) return `silent for ${duration(between(run.last, new Date().toISOString()))} · ${count}`;
  if (run.state === "running" && run.started)
    return `for ${duration(between(run.started, new Date().toISOString()))} · ${count}`;
  const took = run.started && run.ended ? ` after ${duration(between(run.started, run.ended))}` : "";
  const word = { stopped: "ended", crashed: "crashed", running: "running", unknown: `last ${ago(run.last)}` }[
    run.state
  ];
  return `${word}${took} · ${count}`;
}
