// Conway's Life on a torus: a glider walks, and after 32 generations it is back where it began.
//
//     wasmgrid run examples/life.js -- 4
const SIDE = 8;
const GLIDER = [[0, 1], [1, 2], [2, 0], [2, 1], [2, 2]];

const key = (row, column) => ((row + SIDE) % SIDE) * SIDE + ((column + SIDE) % SIDE);

function* around(cell) {
  const [row, column] = [Math.floor(cell / SIDE), cell % SIDE];
  for (const down of [-1, 0, 1]) {
    for (const right of [-1, 0, 1]) {
      if (down || right) yield key(row + down, column + right);
    }
  }
}

/** The living cells after `alive`: three neighbours give birth, two keep alive. */
function next(alive) {
  const neighbours = new Map();
  for (const cell of alive) {
    for (const near of around(cell)) neighbours.set(near, (neighbours.get(near) ?? 0) + 1);
  }
  return new Set([...neighbours].filter(([cell, n]) => n === 3 || (n === 2 && alive.has(cell))).map(([cell]) => cell));
}

const generations = Number(scriptArgs[1] ?? 1);
let alive = new Set(GLIDER.map(([row, column]) => key(row, column)));
for (let n = 0; n < generations; n++) alive = next(alive);
for (let row = 0; row < SIDE; row++) {
  console.log(Array.from({ length: SIDE }, (_, column) => (alive.has(key(row, column)) ? "#" : ".")).join(" "));
}
