/**
 * Types that several modules share. Nothing here runs.
 *
 * @typedef {{msg_id: string, kind?: string}} Relation
 * @typedef {{url: string, label?: string, kind?: string}} Link
 * @typedef {{msg_id: string, timestamp: string, type: string, project_id?: string, task_id?: string, run_id?: string,
 *   issue_id?: string, parents?: string[], relations?: Relation[], links?: Link[], meta?: Record<string, string>,
 *   body?: string, intact?: boolean}} Message  See SPEC.md, "JSON".
 * @typedef {{project: string, task?: string}} Bus
 * @typedef {{types: string[], run: string, text: string, from: string, until: string}} Filter
 *   An empty field does not filter. Times are ISO; `from` may be `-N`, N seconds ago.
 * @typedef {{bus: Bus | null, filter: Filter, msgId: string}} Route
 *   What the address names; `msgId` is the message to scroll to, or "".
 * @typedef {{messages: Message[], next?: string, previous?: string, replies?: Record<string, number>}} ResultPage
 * @typedef {{run_id: string, count: number, state: "unknown" | "running" | "stopped" | "crashed", first: string, last: string,
 *   started?: string, ended?: string}} Run
 * @typedef {{by: string, start: string, step: number, series: {name: string, counts: number[]}[], rest: number[]}} Histogram
 *   Counts per part of `step` seconds; `rest` counts what is in no series.
 * @typedef {{count: number, first?: string, last?: string, types: Record<string, number>, runs: Run[],
 *   unanswered: {count: number, messages: Message[]}, histogram: Histogram}} Summary
 * @typedef {{project_id: string, task_id?: string, size: number, last?: string, last_id?: string, last_type?: string}} BusActivity
 * @typedef {{bus: Bus, body: string, type: string, parents: Relation[]}} NewMessage  Ready to be posted.
 * @typedef {NewMessage & {key: string, at: number, error: string, state: "sending" | "failed"}} Post
 *   A message in the outbox since `at`; the idempotency key makes a retry safe.
 * @typedef {{body: string, type: string, to?: string}} Draft  `to` describes the message that it replies to.
 */
export {};
