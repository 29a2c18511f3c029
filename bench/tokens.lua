-- The requests of wrk: GET /file, each with the next token of a file.
--
--     wrk ... -s tokens.lua URL -- TOKENS [COLD SHARE]
--
-- With COLD, SHARE percent of the requests take the next token of that file
-- instead, which begins anywhere.  A line of a file is 61 characters, so it is
-- one string here and a million tokens cost no table.

local line = 62

local files, at, share, owed = {}, {}, 0, 0
local head = "GET /file HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer "
local tail = "\r\n\r\n"

local function load(name)
    local file = assert(io.open(name, "rb"))
    local text = file:read("*a")

    file:close()

    return text
end

function init(args)
    files[1], at[1] = load(args[1]), 0

    if args[2] then
        files[2] = load(args[2])
        math.randomseed(os.time())
        at[2] = math.random(0, #files[2] / line - 1) * line
        share = tonumber(args[3]) / 100
    end
end

function request()
    local which = 1

    owed = owed + share

    if owed >= 1 then
        owed = owed - 1
        which = 2
    end

    local text, i = files[which], at[which]

    at[which] = (i + line) % #text

    return head .. text:sub(i + 1, i + line - 1) .. tail
end

-- requests, microseconds, answers of 400 and above, other errors, p50, p99

function done(summary, latency)
    local errors = summary.errors

    print(string.format("wrk: %d %d %d %d %d %d", summary.requests,
                        summary.duration, errors.status,
                        errors.connect + errors.read + errors.write
                        + errors.timeout,
                        latency:percentile(50), latency:percentile(99)))
end
