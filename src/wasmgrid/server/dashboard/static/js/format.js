// Numbers as people read them.

/** Milliseconds: `20 us`, `0.3 ms`, `41 ms`, `5.00 s`, `3 min 20 s`, `2 h 5 min`. */
export function duration(ms) {
  if (ms === null || ms === undefined || Number.isNaN(ms)) return "–";
  if (ms === 0) return "0 ms";
  if (ms < 0.1) return `${Math.max(1, Math.round(ms * 1000))} us`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(2)} s`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const s = Math.round(ms / 1000);
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** Bytes: `512 B`, `1.2 KiB`, `3.4 MiB`. */
export function bytes(n) {
  if (n === null || n === undefined) return "–";
  if (n < 1024) return `${n} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = n, unit = -1;
  do { value /= 1024; unit += 1; } while (value >= 1024 && unit < units.length - 1);
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Megabytes as the grid counts them (2^20 bytes). */
export const megabytes = (mb) => (mb === null || mb === undefined ? "–" : bytes(mb * 1048576).replace(".0 ", " "));

/** 1234567 as `1,234,567`. */
export const count = (n) => (n === null || n === undefined ? "–" : n.toLocaleString("en-US"));

/** A rate: `0.2`, `12.5`, `20,600`. */
export const rate = (n) => (n === null || n === undefined ? "–" : n >= 100 ? count(Math.round(n)) : n >= 10 ? n.toFixed(1) : n.toFixed(n === 0 ? 0 : 2));

/** A share: `99.2 %`. */
export const share = (x) => (x === null || x === undefined ? "–" : `${x === 1 ? "100" : (x * 100).toFixed(1)} %`);

/** How long ago: `now`, `12 s ago`, `3 min ago`, `2 h ago`, `5 d ago`. */
export function ago(time, now = Date.now()) {
  if (!time) return "–";
  const s = Math.max(0, (now - new Date(time).getTime()) / 1000);
  if (s < 2) return "now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

/** Milliseconds between two times; up to now where the second is not there. */
export const between = (from, to) => (from ? Math.max(0, new Date(to ?? Date.now()) - new Date(from)) : null);

/** cpus without needless digits: 2, 0.5. */
export const cpus = (milli) => String(milli / 1000);
