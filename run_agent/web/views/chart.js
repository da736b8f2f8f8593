/** The chart: how many messages of each type or run there were over time. Dragging over it selects a time range. */

import { byId } from "../lib/dom.js";
import { formatDuration } from "../lib/time.js";
import { runColour, typeColour } from "../model/message-types.js";
import uPlot from "../vendor/uPlot.esm.js";

/** @typedef {import("../types.js").Histogram} Histogram */

const HEIGHT = 84; // pixels
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const CLOCK_SECONDS = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const COUNT = new Intl.NumberFormat(undefined, { notation: "compact" });
const MIN_DRAG = 3; // pixels; a shorter drag is a click
const MIN_PARTS = 10; // shown even if the log is very young

export class Chart {
  /** @type {uPlot | null} */ #plot = null;
  /** @type {Histogram | null} */ #shown = null;

  /** @param {(from: string, until: string) => void} onSelect */
  constructor(onSelect) {
    this.onSelect = onSelect;
    this.element = byId("chart");
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width(), height: HEIGHT })).observe(this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#shown && this.show(this.#shown));
  }

  /** How many parts of a histogram the chart has room for. */
  get parts() {
    return Math.max(24, Math.min(160, Math.floor(this.#width() / 7)));
  }

  /** @param {Histogram} histogram */
  show(histogram) {
    this.#shown = histogram;
    const parts = [...histogram.series, { name: "others", counts: histogram.rest }].filter(({ counts }) =>
      counts.some(Boolean),
    );
    const start = Date.parse(histogram.start) / 1000;
    const times = histogram.rest.map((_, index) => start + (index + 0.5) * histogram.step);
    const stacked = stack(parts.map(({ counts }) => counts));
    const label = parts
      .map(({ name, counts }) => `${name || "no run"} ${counts.reduce((sum, count) => sum + count, 0)}`)
      .join(", ");
    this.element.setAttribute("aria-label", `Messages per ${formatDuration(histogram.step)}: ${label || "none"}`);
    this.#plot?.destroy();
    this.element.replaceChildren();
    if (!parts.length) return;
    const data = /** @type {number[][]} */ ([times, ...stacked.reverse()]);
    this.#plot = new uPlot(
      this.#options(
        histogram,
        parts.reverse().map(({ name }) => name),
      ),
      data,
      this.element,
    );
  }

  /** @param {Histogram} histogram @param {string[]} names */
  #options({ by, start, step, rest }, names) {
    const colourOf = (/** @type {string} */ name) => cssVariable(by === "type" ? typeColour(name) : runColour(name));
    const first = Date.parse(start) / 1000;
    const span = step * rest.length;
    return {
      width: this.#width(),
      height: HEIGHT,
      legend: { show: false },
      padding: [6, 4, 0, 0],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      scales: {
        x: { range: [first, first + span] },
        y: {
          range: (/** @type {unknown} */ _, /** @type {number} */ _low, /** @type {number} */ high) => [
            0,
            Math.max(1, high),
          ],
        },
      },
      axes: axes(span),
      series: [
        {},
        ...names.map((name) => ({
          fill: colourOf(name),
          stroke: colourOf(name),
          width: 0,
          points: { show: false },
          paths: uPlot.paths.bars({ size: [0.82, 40], align: 0 }),
        })),
      ],
      hooks: { setSelect: [(/** @type {uPlot} */ plot) => this.#selected(plot)] },
    };
  }

  /** @param {uPlot} plot */
  #selected(plot) {
    const { left, width } = plot.select;
    if (width < MIN_DRAG) return;
    const [from, until] = [left, left + width].map((x) => new Date(1000 * plot.posToVal(x, "x")).toISOString());
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.onSelect(from, until);
  }

  #width() {
    return Math.max(200, this.element.clientWidth);
  }
}

/** A histogram without the parts that lie in the future, as those of a young log do. @param {Histogram} histogram @returns {Histogram} */
export function trimFuture(histogram) {
  const { start, step, series, rest } = histogram;
  const columns = [...series.map(({ counts }) => counts), rest];
  const last = Math.max(...columns.map((counts) => counts.findLastIndex(Boolean)));
  const now = (Date.now() - Date.parse(start)) / 1000 / step;
  const end = Math.min(rest.length, Math.max(MIN_PARTS, last + 1, Math.ceil(now)));
  return {
    ...histogram,
    series: series.map(({ name, counts }) => ({ name, counts: counts.slice(0, end) })),
    rest: rest.slice(0, end),
  };
}

/** Time, and number of messages. @param {number} span seconds of the whole chart */
function axes(span) {
  const common = { stroke: cssVariable("faint"), ticks: { show: false }, font: "11px system-ui" };
  return [
    {
      ...common,
      grid: { show: false },
      size: 22,
      gap: 3,
      space: 70,
      values: (/** @type {unknown} */ _, /** @type {number[]} */ times) => times.map((time) => timeLabel(time, span)),
    },
    {
      ...common,
      grid: { stroke: cssVariable("line"), width: 1 },
      size: 40,
      space: 30,
      values: (/** @type {unknown} */ _, /** @type {number[]} */ counts) => counts.map((count) => COUNT.format(count)),
      incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000],
    },
  ];
}

/** A colour of style.css. @param {string} name */
const cssVariable = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** The label of a time on the axis; "" for a fraction of a second. @param {number} seconds @param {number} span of the whole chart */
function timeLabel(seconds, span) {
  if (seconds % 1) return "";
  const format = span > 172_800 ? DAY : span < 300 ? CLOCK_SECONDS : CLOCK;
  return format.format(new Date(1000 * seconds));
}

/** Stacks each layer on top of those before it. @param {number[][]} layers */
function stack(layers) {
  const sums = new Array(layers[0]?.length ?? 0).fill(0);
  return layers.map((layer) => layer.map((value, index) => (sums[index] += value)));
}
