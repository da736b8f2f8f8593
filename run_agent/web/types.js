/**
 * The shapes that modules hand each other. Nothing here runs.
 *
 * @typedef {{msg_id: string, kind?: string}} Relation
 * @typedef {{url: string, label?: string, kind?: string}} Link
 * @typedef {{msg_id: string, timestamp: string, type: string, project_id?: string, task_id?: string, run_id?: string,
 *   issue_id?: string, parents?: string[], relations?: Relation[], links?: Link[], meta?: Record<string, string>,
 *   body?: string, intact?: boolean}} Message  As in SPEC.md, "JSON".
 * @typedef {{project: string, task?: string}} Bus
 * @typedef {{types: string[], run: string, text: string, from: string, until: string}} Filter
 *   Times are ISO, or `-N` for N seconds before now.
 * @typedef {{bus: Bus | null, filter: Filter, at: string}} Place  What the address holds.
 * @typedef {{messages: Message[], next?: string, previous?: string, replies?: Record<string, number>}} Page
 * @typedef {{run_id: string, count: number, state: "unknown" | "running" | "stopped" | "crashed", first: string, last: string,
 *   started?: string, ended?: string}} Run
 * @typedef {{by: string, start: string, step: number, series: {name: string, counts: number[]}[], rest: number[]}} Histogram
 * @typedef {{count: number, first?: string, last?: string, types: Record<string, number>, runs: Run[],
 *   unanswered: {count: number, messages: Message[]}, histogram: Histogram}} Summary
 * @typedef {{project_id: string, task_id?: string, size: number, last?: string, last_id?: string, last_type?: string}} Active
 * @typedef {{key: string, at: number, bus: Bus, body: string, type: string, parents: Relation[], error: string,
 *   state: "sending" | "failed"}} Post  One on its way since `at`; `key` makes a retry safe.
 * @typedef {{body: string, type: string, to?: string}} Draft  `to`: what it replies to, in words.
 */
export {};
