// A chart over time, by uPlot: its colours are the page's, its size its place's, its window never jumps.
import uPlot from "../vendor/uplot.js";
import { html, useEffect, useRef, useState } from "../vendor/preact.js";
import { colour, useColours } from "./colours.js";

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });

const axisTime = (ms) => (ms < 1 ? `${Math.round(ms * 1000)} us` : ms < 1000 ? `${ms} ms` : `${ms / 1000} s`);

/** Powers of ten from `min` to `max`, at most five of them. */
function decades(min, max) {
  const low = Math.round(Math.log10(min)), high = Math.round(Math.log10(max)), step = Math.max(1, Math.ceil((high - low) / 4));
  return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, at) => 10 ** (low + at * step));
}

/**
 * `lines`: [{name, tone, values, fill, dash}], `times` in seconds, `window` seconds wide. `format` writes a value; `log`: a
 * logarithmic scale of milliseconds (nothing is drawn at 0); `most`: the scale reaches at least so far.
 */
export function Chart({ title, times, lines, windowS = 600, format = String, log = false, most = 1 }) {
  const place = useRef(), plot = useRef(null);
  const colours = useColours();
  const [at, setAt] = useState(null);
  const tones = lines.map((line) => line.tone).join();
  const data = [times, ...lines.map((line) => (log ? line.values.map((value) => value || null) : line.values))];
  const latest = useRef(data), reach = useRef(most);
  latest.current = data;
  reach.current = most;
  useEffect(() => {
    const element = place.current;
    const pick = (token) => colour(element, token);
    const faint = pick("--faint"), grid = { stroke: pick("--line"), width: 1 };
    const font = "11px Inter, system-ui, sans-serif";
    const made = new uPlot({
      width: element.clientWidth, height: element.clientHeight, legend: { show: false }, padding: [8, 8, 0, 0],
      cursor: { y: false, points: { size: 6 }, drag: { setScale: false, x: false }, sync: { key: "overview" } },
      hooks: { setCursor: [(self) => setAt(self.cursor.idx ?? null)] },
      scales: {
        x: { time: true, range: (_, __, max) => { const end = Math.max(max ?? 0, latest.current[0].at(-1) ?? 0); return [end - windowS, end]; } },
        y: log ? { distr: 3, range: (_, min, max) => [min > 0 ? 10 ** Math.floor(Math.log10(min)) : 0.1, max > 0 ? 10 ** Math.ceil(Math.log10(max * 1.01)) : 1000] }
          : { range: (_, __, max) => [0, Math.max(reach.current, (max ?? 0) * 1.1)] },
      },
      axes: [
        { stroke: faint, grid: { show: false }, ticks: { show: false }, font, size: 24, space: 70, values: (_, times) => times.map(clock) },
        { stroke: faint, grid, ticks: { show: false }, font, size: 52, gap: 6, space: 34, ...(log && { splits: (_, __, min, max) => decades(min, max) }),
          values: (_, values) => values.map((value) => (value === null ? "" : log ? axisTime(value) : format(value))) },
      ],
      series: [{}, ...lines.map((line) => ({
        stroke: pick(line.tone), width: 1.5, dash: line.dash, fill: line.fill ? pick(line.tone).replace("rgb(", "rgba(").replace(")", ", 0.12)") : undefined,
        points: { show: log, size: 3.5, fill: pick(line.tone) }, spanGaps: false,
      }))],
    }, latest.current, element);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height: element.clientHeight }));
    watch.observe(element);
    return () => { watch.disconnect(); made.destroy(); plot.current = null; };
  }, [colours, tones, log, windowS]);
  useEffect(() => { plot.current?.setData(data); }, [times, times.length, times.at(-1), most]);
  const shown = at !== null && at < times.length ? at : times.length - 1;
  const value = (line) => { const v = line.values[shown]; return v === null || v === undefined ? "–" : format(v); };
  return html`<section class="card chart-card" aria-label=${title}>
    <header><h2>${title}</h2><div class="end chart-key number">${lines.map((line) => html`<span><i style=${{ background: `var(${line.tone})` }}></i>${line.name} <b>${value(line)}</b></span>`)}</div></header>
    <div class="body"><div class="chart" ref=${place} role="img" aria-label=${`${title}: ${lines.map((line) => `${line.name} ${value(line)}`).join(", ")}`}></div></div>
  </section>`;
}
