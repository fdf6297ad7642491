//! Writes through a buffer of its own, as Zig wants it.
const std = @import("std");

pub fn main(init: std.process.Init) !void {
    var buffer: [256]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    try stdout.interface.print("hello from Zig, 2^10 is {d}!\n", .{std.math.pow(u32, 2, 10)});
    try stdout.interface.flush();
}
