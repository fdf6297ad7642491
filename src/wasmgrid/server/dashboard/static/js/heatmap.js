// Tasks as a canvas of cells: colour is the state, depth is how long it took. Arrow keys move, a click chooses.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/preact.js";
import { colour, useColours } from "./colours.js";
import { duration } from "./format.js";

export const MOST_CELLS = 2000;
const TONES = { succeeded: "--good", failed: "--bad", cancelled: "--idle", running: "--busy", queued: "--line-strong", building: "--build" };

/** `map`: {first_index, tasks_per_cell, state, wall_ms, failed}; a cell may stand for many tasks. `count`: of tasks, for its size before the map is there. */
export function HeatMap({ map, count, chosen, onChoose }) {
  const frame = useRef(), canvas = useRef();
  const [width, setWidth] = useState(0);
  const [hover, setHover] = useState(null);
  const theme = useColours();
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
    watch.observe(frame.current);
    setWidth(Math.floor(frame.current.clientWidth));
    return () => watch.disconnect();
  }, []);
  const cells = map?.state.length ?? Math.ceil(count / Math.ceil(count / MOST_CELLS));
  const size = cells > 800 ? 10 : cells > 200 ? 14 : 20;
  const columns = Math.max(1, Math.floor((width + 2) / (size + 2)));
  const rows = width ? Math.max(1, Math.ceil(cells / columns)) : 1;
  const at = map && cells ? lastAtMost(map.first_index, chosen) : -1;
  useEffect(() => {
    if (!map || !width) return;
    const scale = devicePixelRatio || 1, element = canvas.current;
    element.width = width * scale;
    element.height = rows * (size + 2) * scale;
    const pen = element.getContext("2d");
    pen.scale(scale, scale);
    const tones = Object.fromEntries(Object.entries(TONES).map(([name, token]) => [name, colour(frame.current, token)]));
    const longest = Math.log1p(Math.max(0.001, ...map.wall_ms.map((ms) => ms ?? 0)));
    for (let cell = 0; cell < cells; cell += 1) {
      const ms = map.wall_ms[cell];
      pen.fillStyle = tones[map.state[cell]] ?? tones.queued;
      pen.globalAlpha = map.state[cell] === "succeeded" && ms !== null ? 0.35 + 0.65 * (Math.log1p(ms) / longest) : 1;
      pen.beginPath();
      pen.roundRect((cell % columns) * (size + 2), Math.floor(cell / columns) * (size + 2), size, size, 2);
      pen.fill();
    }
    pen.globalAlpha = 1;
    if (at >= 0) {
      pen.strokeStyle = colour(frame.current, "--text");
      pen.lineWidth = 2;
      pen.strokeRect((at % columns) * (size + 2) + 1, Math.floor(at / columns) * (size + 2) + 1, size - 2, size - 2);
    }
  }, [map, width, rows, at, theme]);
  const cellAt = (event) => {
    const box = canvas.current.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / (size + 2)), row = Math.floor((event.clientY - box.top) / (size + 2));
    const cell = row * columns + column;
    return column >= 0 && column < columns && map && cell >= 0 && cell < cells ? cell : null;
  };
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (!step || !map) return;
    event.preventDefault();
    onChoose(map.first_index[Math.min(cells - 1, Math.max(0, at + step))]);
  };
  const told = hover ?? (at >= 0 ? at : null);
  return html`<div class="heat" ref=${frame}>
    <canvas ref=${canvas} tabindex="0" role="slider" aria-label="Task" aria-valuemin="0" aria-valuemax=${map?.task_count ?? 0} aria-valuenow=${chosen}
      aria-valuetext=${told === null ? "" : describe(map, told)} style=${{ width: "100%", height: `${rows * (size + 2)}px` }}
      onKeyDown=${move} onMouseMove=${(event) => setHover(cellAt(event))} onMouseLeave=${() => setHover(null)}
      onClick=${(event) => { const cell = cellAt(event); if (cell !== null) onChoose(map.first_index[cell]); }}></canvas>
    <p class="small muted number heat-told">${told === null || !map ? "\u00a0" : describe(map, told)}</p>
  </div>`;
}

function describe(map, cell) {
  const first = map.first_index[cell], many = map.tasks_per_cell > 1;
  const next = map.first_index[cell + 1];
  const which = many ? `tasks ${first} to ${next === undefined ? "the last" : next - 1}` : `task ${first}`;
  const took = map.wall_ms[cell] === null || map.wall_ms[cell] === undefined ? "" : ` · ${many ? "longest " : ""}${duration(map.wall_ms[cell])}`;
  const failed = many && map.failed[cell] ? ` · ${map.failed[cell]} failed` : "";
  return `${which}: ${map.state[cell]}${took}${failed}`;
}

function lastAtMost(list, value) {
  let low = 0, high = list.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (list[middle] <= value) low = middle; else high = middle - 1;
  }
  return low;
}
