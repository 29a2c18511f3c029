-- The check of a token in Lua, with what Debian has: lua-nginx-redis (that is
-- resty.redis 0.27), lua-nginx-string (resty.sha256), lua-resty-lrucache.
--
--     init_by_lua_block   { require("access").init("unix:/path/of/redis.sock") }
--     access_by_lua_block { require("access").redis() }
--
-- The rules are the module's: the form of the token; the digest of id and
-- secret, the status and the expiry of the record.  The checksum is left out, and
-- so is a comparison in constant time (strings of Lua are compared by address).
-- With a cache, a good token is kept for a minute and a bad one for two seconds,
-- by its digest; no revocation reaches it sooner.

local lrucache = require "resty.lrucache"
local redis = require "nginx.redis"
local sha256 = require "nginx.sha256"

local match = ngx.re.match
local sub = string.sub

local max_age, negative = 60, 2

local _M = {}

-- Where Redis is.

local address, port

function _M.init(...)
    address, port = ...
end


local problem = '{"title":"Unauthorized","status":401}'

local function deny()
    ngx.status = 401
    ngx.header["WWW-Authenticate"] =
        'Bearer realm="gateway", error="invalid_token"'
    ngx.header["Content-Type"] = "application/problem+json"
    ngx.header["Cache-Control"] = "no-store"
    ngx.header["Content-Length"] = #problem
    ngx.print(problem)

    return ngx.exit(ngx.HTTP_OK)
end


local function unavailable(why)
    ngx.log(ngx.ERR, "redis: ", why)
    ngx.header["Retry-After"] = 1

    return ngx.exit(503)
end


local hash = sha256:new()

-- id and secret of the request, and their digest

local function token()
    local value = ngx.var.http_authorization

    if not value then
        return nil
    end

    local m = match(value, "^Bearer +at_([0-9A-Za-z]{52})[0-9A-Za-z]{6}$", "joi")

    if not m then
        return nil
    end

    hash:reset()
    hash:update(m[1])

    return m[1], hash:final()
end


-- Until when the token is good, 0 for ever, false if it is not; or nil and why.

local function load(hashed, digest)
    local db = redis:new()

    db:set_timeouts(1000, 500, 500)

    local ok, err

    if port then
        ok, err = db:connect(address, port, { pool_size = 128 })
    else
        ok, err = db:connect(address, { pool_size = 128 })
    end

    if not ok then
        return nil, err
    end

    local id = sub(hashed, 1, 20)
    local r

    r, err = db:hmget("at:t:{" .. sub(id, 1, 4) .. "}:" .. id, "h", "s", "e")

    if not r then
        return nil, err
    end

    db:set_keepalive(60000, 128)

    local expires = tonumber(r[3])

    if r[1] ~= digest or r[2] ~= "a" or not expires then
        return false
    end

    return expires
end


local function judge(expires)
    if not expires or (expires ~= 0 and expires <= ngx.time()) then
        return deny()
    end
end


function _M.redis()
    local hashed, digest = token()

    if not hashed then
        return deny()
    end

    local expires, err = load(hashed, digest)

    if expires == nil then
        return unavailable(err)
    end

    return judge(expires)
end


function _M.shared_dict()
    local hashed, digest = token()

    if not hashed then
        return deny()
    end

    local cache = ngx.shared.tokens
    local expires, err = cache:get(digest)

    if expires == nil then
        expires, err = load(hashed, digest)

        if expires == nil then
            return unavailable(err)
        end

        cache:set(digest, expires, expires and max_age or negative)
    end

    return judge(expires)
end


local lru

function _M.lrucache()
    local hashed, digest = token()

    if not hashed then
        return deny()
    end

    lru = lru or lrucache.new(10000)

    local expires, err = lru:get(digest)

    if expires == nil then
        expires, err = load(hashed, digest)

        if expires == nil then
            return unavailable(err)
        end

        lru:set(digest, expires, expires and max_age or negative)
    end

    return judge(expires)
end


return _M
