// What wasmgrid adds to a Zig file so that one of its functions can be called: docs/functions.md.
// `@typeInfo` finds out what its arguments are.
const std = @import("std");
const wasi = std.os.wasi;
const Allocator = std.mem.Allocator;

const Misfit = error{Misfit};
const kept_bytes = 1 << 20;
const gpa = std.heap.wasm_allocator;

/// Memory of one call: what was read, and what a function takes from the allocator that it asks for.
var arena: std.heap.ArenaAllocator = .init(gpa);
var input: []u8 = &.{};
var output: []u8 = &.{};
var used: usize = 0;
var failed = false;

// ---- reading

const Reader = struct {
    bytes: []const u8,
    at: usize = 0,

    fn peek(self: *Reader) u8 {
        return if (self.at < self.bytes.len) self.bytes[self.at] else 0;
    }

    fn space(self: *Reader) void {
        while (true) : (self.at += 1) switch (self.peek()) {
            ' ', '\n', '\r', '\t' => {},
            else => return,
        };
    }

    fn ended(self: *Reader) bool {
        self.space();
        return self.at == self.bytes.len;
    }

    fn eat(self: *Reader, byte: u8) bool {
        self.space();
        if (self.peek() != byte or self.at == self.bytes.len) return false;
        self.at += 1;
        return true;
    }

    fn literal(self: *Reader, text: []const u8) bool {
        self.space();
        if (!std.mem.startsWith(u8, self.bytes[self.at..], text)) return false;
        self.at += text.len;
        return true;
    }

    fn digits(self: *Reader) usize {
        const from = self.at;
        while (self.peek() >= '0' and self.peek() <= '9') self.at += 1;
        return self.at - from;
    }

    const Number = struct { text: []const u8, integer: bool };

    fn number(self: *Reader) Misfit!Number {
        self.space();
        const from = self.at;
        var integer = true;
        if (self.peek() == '-') self.at += 1;
        const leading = self.peek() == '0';
        const whole = self.digits();
        var good = whole == 1 or (whole > 1 and !leading);
        if (self.peek() == '.') {
            self.at += 1;
            integer = false;
            good = self.digits() > 0 and good;
        }
        if (self.peek() == 'e' or self.peek() == 'E') {
            self.at += 1;
            integer = false;
            if (self.peek() == '+' or self.peek() == '-') self.at += 1;
            good = self.digits() > 0 and good;
        }
        if (!good) return error.Misfit;
        return .{ .text = self.bytes[from..self.at], .integer = integer };
    }

    fn hex(self: *Reader) Misfit!u21 {
        if (self.bytes.len - self.at < 4) return error.Misfit;
        var code: u21 = 0;
        for (self.bytes[self.at..][0..4]) |digit| {
            code = code * 16 + (std.fmt.charToDigit(digit, 16) catch return error.Misfit);
        }
        self.at += 4;
        return code;
    }

    fn escaped(self: *Reader) Misfit!u21 {
        const byte = self.peek();
        self.at += 1;
        return switch (byte) {
            '"', '\\', '/' => byte,
            'b' => 8,
            'f' => 12,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                const code = try self.hex();
                if (code < 0xd800 or code > 0xdfff) return code;
                if (code >= 0xdc00 or self.peek() != '\\') return error.Misfit;
                self.at += 1;
                if (self.peek() != 'u') return error.Misfit;
                self.at += 1;
                const low = try self.hex();
                if (low < 0xdc00 or low > 0xdfff) return error.Misfit;
                return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            },
            else => error.Misfit,
        };
    }

    /// What a string holds is never longer than how it is written. A zero stands behind it.
    fn string(self: *Reader) Misfit![:0]u8 {
        if (!self.eat('"')) return error.Misfit;
        var end = self.at;
        while (end < self.bytes.len and self.bytes[end] != '"') end += if (self.bytes[end] == '\\') 2 else 1;
        if (end >= self.bytes.len) return error.Misfit;
        const made = arena.allocator().alloc(u8, end - self.at + 1) catch return error.Misfit;
        var size: usize = 0;
        while (self.at < end) {
            const byte = self.bytes[self.at];
            self.at += 1;
            if (byte < 0x20) return error.Misfit;
            if (byte == '\\') {
                size += std.unicode.utf8Encode(try self.escaped(), made[size..]) catch return error.Misfit;
            } else {
                made[size] = byte;
                size += 1;
            }
        }
        self.at = end + 1;
        if (!std.unicode.utf8ValidateSlice(made[0..size])) return error.Misfit;
        made[size] = 0;
        return made[0..size :0];
    }
};

fn readInteger(comptime T: type, from: *Reader) Misfit!T {
    const number = try from.number();
    if (!number.integer) return error.Misfit;
    return std.fmt.parseInt(T, number.text, 10) catch error.Misfit;
}

const specials = .{ .{ "NaN", std.math.nan(f64) }, .{ "Infinity", std.math.inf(f64) }, .{ "-Infinity", -std.math.inf(f64) } };

fn readFloat(comptime T: type, from: *Reader) Misfit!T {
    from.space();
    inline for (specials) |special| {
        if (from.literal("\"" ++ special[0] ++ "\"")) return @floatCast(special[1]);
    }
    const number = try from.number();
    const value = std.fmt.parseFloat(T, number.text) catch return error.Misfit;
    return if (std.math.isFinite(value)) value else error.Misfit;
}

fn read(comptime T: type, from: *Reader) Misfit!T {
    switch (@typeInfo(T)) {
        .int => return readInteger(T, from),
        .float => return readFloat(T, from),
        .bool => return if (from.literal("true")) true else if (from.literal("false")) false else error.Misfit,
        .optional => |optional| return if (from.literal("null")) null else try read(optional.child, from),
        .array => |array| {
            var made: T = undefined;
            if (!from.eat('[')) return error.Misfit;
            for (&made, 0..) |*item, place| {
                if (place > 0 and !from.eat(',')) return error.Misfit;
                item.* = try read(array.child, from);
            }
            return if (from.eat(']')) made else error.Misfit;
        },
        .pointer => |pointer| {
            if (pointer.child == u8) return from.string();
            var made: std.ArrayList(pointer.child) = .empty;
            if (!from.eat('[')) return error.Misfit;
            if (from.eat(']')) return made.items;
            while (true) {
                const item = try read(pointer.child, from);
                made.append(arena.allocator(), item) catch return error.Misfit;
                if (from.eat(']')) return made.items;
                if (!from.eat(',')) return error.Misfit;
            }
        },
        else => comptime unreachable,
    }
}

/// A word of a command line: a string as it is, anything else as JSON.
fn readWord(comptime T: type, word: [:0]u8) Misfit!T {
    switch (@typeInfo(T)) {
        .pointer => |pointer| if (pointer.child == u8) return word,
        .optional => |optional| return if (std.mem.eql(u8, word, "null")) null else try readWord(optional.child, word),
        .float => inline for (specials) |special| {
            if (std.mem.eql(u8, word, special[0])) return @floatCast(special[1]);
        },
        else => {},
    }
    var reader: Reader = .{ .bytes = word };
    const value = try read(T, &reader);
    return if (reader.ended()) value else error.Misfit;
}

// ---- writing

fn put(text: []const u8) void {
    if (output.len - used < text.len) {
        output = gpa.realloc(output, (used + text.len) * 2 + 512) catch {
            failed = true;
            return;
        };
    }
    @memcpy(output[used..][0..text.len], text);
    used += text.len;
}

fn print(comptime format: []const u8, arguments: anytype) void {
    var made: [512]u8 = undefined;
    put(std.fmt.bufPrint(&made, format, arguments) catch return);
}

fn putString(text: []const u8) void {
    put("\"");
    var from: usize = 0;
    var at: usize = 0;
    while (at < text.len) {
        const byte = text[at];
        const size = std.unicode.utf8ByteSequenceLength(byte) catch 1;
        const good = at + size <= text.len and std.unicode.utf8ValidateSlice(text[at..][0..size]);
        if (good and byte >= 0x20 and byte != '"' and byte != '\\') {
            at += size;
            continue;
        }
        put(text[from..at]);
        if (!good) put("\u{fffd}") else switch (byte) {
            '"' => put("\\\""),
            '\\' => put("\\\\"),
            '\n' => put("\\n"),
            else => print("\\u{x:0>4}", .{byte}),
        }
        at += 1;
        from = at;
    }
    put(text[from..]);
    put("\"");
}

fn write(value: anytype) void {
    const T = @TypeOf(value);
    switch (@typeInfo(T)) {
        .void => put("null"),
        .bool => put(if (value) "true" else "false"),
        .int => print("{d}", .{value}),
        .float => writeFloat(value),
        .optional => if (value) |there| write(there) else put("null"),
        .array => writeList(&value),
        .@"struct" => |of| inline for (of.field_names, 0..) |name, place| {
            put(if (place > 0) "," else "[");
            write(@field(value, name));
            if (place + 1 == of.field_names.len) put("]");
        },
        .pointer => |pointer| if (pointer.child == u8) putString(value) else writeList(value),
        else => comptime unreachable,
    }
}

fn writeFloat(value: anytype) void {
    if (std.math.isNan(value)) return put("\"NaN\"");
    if (std.math.isInf(value)) return put(if (value > 0) "\"Infinity\"" else "\"-Infinity\"");
    const from = used;
    const size = @abs(value);
    if (size == 0 or (size >= 1e-5 and size < 1e15)) print("{d}", .{value}) else print("{e}", .{value});
    if (std.mem.findAny(u8, output[from..used], ".e") == null) put(".0");
}

fn writeList(list: anytype) void {
    put("[");
    for (list, 0..) |item, place| {
        if (place > 0) put(",");
        write(item);
    }
    put("]");
}

// ---- the function

const Function = @TypeOf(function);
const info = switch (@typeInfo(Function)) {
    .@"fn" => |found| found,
    else => @compileError("wasmgrid: no function: " ++ @typeName(Function)),
};
const count = total: {
    if (info.is_generic or info.attrs.varargs) @compileError("wasmgrid: generic");
    var wanted = 0;
    for (info.param_types) |each| {
        if (!holds(each.?) and each.? != Allocator) @compileError("wasmgrid: parameter: " ++ @typeName(each.?));
        if (each.? != Allocator) wanted += 1;
    }
    if (!gives(Given)) @compileError("wasmgrid: result: " ++ @typeName(info.return_type.?));
    break :total wanted;
};
const Given = switch (@typeInfo(info.return_type.?)) {
    .error_union => |of| of.payload,
    else => info.return_type.?,
};

fn holds(comptime T: type) bool {
    return switch (@typeInfo(T)) {
        .bool, .int, .float => true,
        .optional => |of| holds(of.child),
        .array => |of| holds(of.child),
        .pointer => |of| of.size == .slice and holds(of.child),
        else => false,
    };
}

fn gives(comptime T: type) bool {
    switch (@typeInfo(T)) {
        .@"struct" => |of| {
            if (!of.is_tuple or of.field_types.len == 0) return false;
            for (of.field_types) |each| if (!holds(each)) return false;
            return true;
        },
        else => return T == void or holds(T),
    }
}

fn misfit(comptime text: []const u8, arguments: anytype) void {
    used = 0;
    put("?");
    print(text, arguments);
    put("; it is ");
    put(signature);
}

/// The value that a text begins with, well-formed or not.
fn valueOf(text: []const u8) []const u8 {
    var at: usize = 0;
    var depth: usize = 0;
    var quoted = false;
    while (at < text.len) : (at += 1) {
        if (quoted and text[at] == '\\') {
            at += 1;
        } else if (text[at] == '"') {
            quoted = !quoted;
        } else if (!quoted and text[at] == '[') {
            depth += 1;
        } else if (!quoted and (text[at] == ',' or text[at] == ']')) {
            if (depth == 0) break;
            if (text[at] == ']') depth -= 1;
        }
    }
    return text[0..@min(at, text.len)];
}

fn noArgument(comptime place: usize, comptime T: type, given: []const u8) void {
    used = 0;
    put("?");
    print("argument {d}", .{place + 1});
    if (names.len == info.param_types.len) print(" ({s})", .{names[place]});
    print(": {s} is wanted, ", .{@typeName(T)});
    var shown: usize = @min(given.len, 40);
    while (shown > 0 and !std.unicode.utf8ValidateSlice(given[0..shown])) shown -= 1;
    put(if (given.len == 0) "and nothing is there" else "not ");
    put(given[0..shown]);
    if (shown < given.len) put("...");
    put("; it is ");
    put(signature);
}

const signature = shown: {
    var made: []const u8 = offered_name ++ "(";
    var first = true;
    for (info.param_types, 0..) |each, place| {
        if (each.? == Allocator) continue;
        if (!first) made = made ++ ", ";
        first = false;
        if (names.len == info.param_types.len) made = made ++ names[place] ++ ": ";
        made = made ++ @typeName(each.?);
    }
    break :shown made ++ ")" ++ if (info.return_type.? == void) "" else " -> " ++ @typeName(info.return_type.?);
};

fn perform(bytes: []const u8) void {
    var from: Reader = .{ .bytes = bytes };
    const argv = !from.eat('[');
    if (argv and !(from.eat('{') and from.literal("\"argv\"") and from.eat(':') and from.eat('['))) {
        return misfit("a call is a JSON array of arguments", .{});
    }
    var arguments: std.meta.ArgsTuple(Function) = undefined;
    var given: usize = 0;
    inline for (info.param_types, 0..) |each, place| {
        const T = each.?;
        if (T == Allocator) {
            arguments[place] = arena.allocator();
        } else {
            const more = if (given > 0) from.eat(',') else (!from.ended() and from.peek() != ']');
            if (!more) return misfit("arguments: {d} wanted, {d} given", .{ count, given });
            from.space();
            const start = from.at;
            if (argv) {
                const word = from.string() catch return misfit("a call's argv is a JSON array of strings", .{});
                arguments[place] = readWord(T, word) catch return noArgument(place, T, word);
            } else {
                arguments[place] = read(T, &from) catch return noArgument(place, T, valueOf(bytes[start..]));
            }
            given += 1;
        }
    }
    if (!(from.eat(']') and (!argv or from.eat('}')) and from.ended())) {
        return misfit("arguments: {d} wanted, more given", .{count});
    }
    const made = @call(.auto, function, arguments);
    const value = if (@typeInfo(@TypeOf(made)) == .error_union) made catch |failure| {
        put("!");
        put(@errorName(failure));
        return;
    } else made;
    put("=");
    write(value);
}

// ---- what a host calls

fn answer(bytes: []const u8) void {
    _ = arena.reset(.{ .retain_with_limit = kept_bytes });
    if (output.len > kept_bytes) {
        gpa.free(output);
        output = &.{};
    }
    used = 0;
    failed = false;
    perform(bytes);
    if (failed) {
        used = 0;
        put("!there is no memory for the answer");
    }
}

fn pack(bytes: []const u8) u64 {
    return @as(u64, @intFromPtr(bytes.ptr)) << 32 | bytes.len;
}

fn wasmgridAlloc(size: usize) callconv(.c) ?[*]u8 {
    if (size > input.len or (input.len > kept_bytes and size < kept_bytes)) {
        gpa.free(input);
        input = &.{};
        input = gpa.alloc(u8, @max(size, 1024)) catch return null;
    }
    return input.ptr;
}

fn wasmgridCall(bytes: [*]const u8, size: usize) callconv(.c) u64 {
    answer(bytes[0..size]);
    return pack(output[0..used]);
}

fn wasmgridSignature() callconv(.c) u64 {
    return pack(signature);
}

/// As a program: the words of its command line are the arguments, and the value is printed.
pub fn main() void {
    var words: usize = 0;
    var size: usize = 0;
    _ = wasi.args_sizes_get(&words, &size);
    const list = gpa.alloc([*:0]u8, words + 1) catch wasi.proc_exit(2);
    const texts = gpa.alloc(u8, size + 1) catch wasi.proc_exit(2);
    _ = wasi.args_get(list.ptr, texts.ptr);
    put("{\"argv\":[");
    for (list[1..@max(words, 1)], 0..) |word, place| {
        if (place > 0) put(",");
        putString(std.mem.span(word));
    }
    put("]}");
    answer(gpa.dupe(u8, output[0..used]) catch wasi.proc_exit(2));
    const good = output[0] == '=';
    put("\n");
    if (!(good and std.mem.eql(u8, output[1..used], "null\n"))) say(if (good) 1 else 2, output[1..used]);
    wasi.proc_exit(if (good) 0 else if (output[0] == '!') 1 else 2);
}

fn say(stream: wasi.fd_t, text: []const u8) void {
    var left = text;
    while (left.len > 0) {
        const piece = [_]std.posix.iovec_const{.{ .base = left.ptr, .len = left.len }};
        var written: usize = 0;
        if (wasi.fd_write(stream, &piece, 1, &written) != .SUCCESS) return;
        left = left[written..];
    }
}

comptime {
    @export(&wasmgridAlloc, .{ .name = "wasmgrid_alloc" });
    @export(&wasmgridCall, .{ .name = "wasmgrid_call" });
    @export(&wasmgridSignature, .{ .name = "wasmgrid_signature" });
}

// What is offered:
