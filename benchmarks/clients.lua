-- wrk's script: every request submits a job and waits for its result. Arguments: the token and the body.
local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(args)
    wrk.method = "POST"
    wrk.headers["Authorization"] = "Bearer " .. args[1]
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = args[2]
    succeeded, others = 0, 0
end

function response(status, headers, body)
    if body:find('"state":"succeeded"', 1, true) then
        succeeded = succeeded + 1
    else
        others = others + 1
    end
end

function done(summary, latency, requests)
    local good, bad = 0, 0
    for _, thread in ipairs(threads) do
        good = good + thread:get("succeeded")
        bad = bad + thread:get("others")
    end
    local errors = summary.errors
    io.write(string.format(
        'figures: {"succeeded": %d, "others": %d, "errors": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\n',
        good, bad, errors.connect + errors.read + errors.write + errors.timeout, summary.duration / 1e6,
        latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
