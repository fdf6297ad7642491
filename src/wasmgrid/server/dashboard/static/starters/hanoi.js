// The towers of Hanoi.
const towers = [[4, 3, 2, 1], [], []];
let moves = 0;

function show() {
  console.log(`${String(moves).padStart(2)}  ` + towers.map((tower) => tower.join("").padEnd(5, "·")).join("  "));
}

function move(count, from, to, by) {
  if (count === 0) return;
  move(count - 1, from, by, to);
  towers[to].push(towers[from].pop());
  moves += 1;
  show();
  move(count - 1, by, to, from);
}

show();
move(4, 0, 2, 1);
console.log(`${moves} moves`);
