//! The planets' way around the sun: vectors, structs and a million steps. Energy hardly changes if the physics are right.
//!
//!     wasmgrid run examples/nbody.zig --build-flag=-OReleaseFast -- 1000000
const std = @import("std");

const Vec3 = @Vector(3, f64);
const solar_mass = 4.0 * std.math.pi * std.math.pi;
const year = 365.24;

const Body = struct { at: Vec3, speed: Vec3, mass: f64 };

fn planet(at: Vec3, speed_per_day: Vec3, mass: f64) Body {
    return .{ .at = at, .speed = speed_per_day * @as(Vec3, @splat(year)), .mass = mass * solar_mass };
}

const Sun = Body{ .at = @splat(0), .speed = @splat(0), .mass = solar_mass };
const Jupiter = planet(
    .{ 4.84143144246472090e+00, -1.16032004402742839e+00, -1.03622044471123109e-01 },
    .{ 1.66007664274403694e-03, 7.69901118419740425e-03, -6.90460016972063023e-05 },
    9.54791938424326609e-04,
);
const Saturn = planet(
    .{ 8.34336671824457987e+00, 4.12479856412430479e+00, -4.03523417114321381e-01 },
    .{ -2.76742510726411855e-03, 4.99852801234917238e-03, 2.30417297573763929e-05 },
    2.85885980666130812e-04,
);
const Uranus = planet(
    .{ 1.28943695621391310e+01, -1.51111514016986312e+01, -2.23307578892655734e-01 },
    .{ 2.96460137564761618e-03, 2.37847173959480950e-03, -2.96589568540237556e-05 },
    4.36624404335156298e-05,
);
const Neptune = planet(
    .{ 1.53796971148509165e+01, -2.59193146099879641e+01, 1.79258772950371181e-01 },
    .{ 2.68067772490389322e-03, 1.62824170038242295e-03, -9.51592254519715870e-05 },
    5.15138902046611451e-05,
);

fn dot(a: Vec3, b: Vec3) f64 {
    return @reduce(.Add, a * b);
}

/// The sun moves so that the whole stays where it is.
fn balance(bodies: []Body) void {
    var momentum: Vec3 = @splat(0);
    for (bodies) |body| momentum += body.speed * @as(Vec3, @splat(body.mass));
    bodies[0].speed = -momentum / @as(Vec3, @splat(solar_mass));
}

fn advance(bodies: []Body, dt: f64) void {
    for (bodies, 0..) |*a, i| {
        for (bodies[i + 1 ..]) |*b| {
            const apart = a.at - b.at;
            const square = dot(apart, apart);
            const pull = dt / (square * @sqrt(square));
            a.speed -= apart * @as(Vec3, @splat(b.mass * pull));
            b.speed += apart * @as(Vec3, @splat(a.mass * pull));
        }
    }
    for (bodies) |*body| body.at += body.speed * @as(Vec3, @splat(dt));
}

fn energy(bodies: []const Body) f64 {
    var sum: f64 = 0;
    for (bodies, 0..) |a, i| {
        sum += 0.5 * a.mass * dot(a.speed, a.speed);
        for (bodies[i + 1 ..]) |b| sum -= a.mass * b.mass / @sqrt(dot(a.at - b.at, a.at - b.at));
    }
    return sum;
}

pub fn main(init: std.process.Init) !void {
    var args = try init.minimal.args.iterateAllocator(init.gpa);
    defer args.deinit();
    _ = args.skip();
    const steps = try std.fmt.parseInt(usize, args.next() orelse "1000", 10);

    var buffer: [256]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const out = &stdout.interface;

    var bodies = [_]Body{ Sun, Jupiter, Saturn, Uranus, Neptune };
    balance(&bodies);
    try out.print("energy before: {d:.9}\n", .{energy(&bodies)});
    for (0..steps) |_| advance(&bodies, 0.01);
    try out.print("energy after:  {d:.9}, {d} steps\n", .{ energy(&bodies), steps });
    try out.flush();
}
