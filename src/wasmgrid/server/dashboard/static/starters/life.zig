// Conway's game of life: a glider crosses the board.
const std = @import("std");

const n = 20;

pub fn main() void {
    var board: [n][n]u8 = @splat(@splat(0));
    for ([_][2]usize{ .{ 0, 1 }, .{ 1, 2 }, .{ 2, 0 }, .{ 2, 1 }, .{ 2, 2 } }) |cell| board[cell[0]][cell[1]] = 1;
    for (0..5) |generation| {
        std.debug.print("after {d} generations\n", .{generation * 8});
        for (board) |row| {
            for (row) |cell| std.debug.print("{s}", .{if (cell == 1) "██" else "· "});
            std.debug.print("\n", .{});
        }
        for (0..8) |_| step(&board);
    }
}

fn step(board: *[n][n]u8) void {
    const old = board.*;
    for (0..n) |y| for (0..n) |x| {
        var around: u8 = 0;
        for ([_]usize{ n - 1, 0, 1 }) |dy| for ([_]usize{ n - 1, 0, 1 }) |dx| {
            if (dy != 0 or dx != 0) around += old[(y + dy) % n][(x + dx) % n];
        };
        board[y][x] = @intFromBool(around == 3 or (around == 2 and old[y][x] == 1));
    };
}
