
/*
 * Copyright (C) the ngx_http_access_token_module authors
 *
 * The Lua text of the store's scripts.  Redis runs a script with nothing in
 * between, but undoes nothing when one fails half-way.  So each looks at all
 * that it needs first (a key of the wrong type, a right that the user lacks, a
 * damaged record, another owner: nothing is changed) and writes after.  Redis
 * before 7 cannot be asked about rights; what is forgotten there most easily,
 * the channel, comes before all writes.  A full Redis refuses only the first
 * write of a script, and HDEL and DEL never: revoke, activate, rotate and
 * delete begin with one and succeed there, create fails as a whole.
 *
 *     KEYS   1 record            ARGV   1 id
 *            2 last use                 2 organization, 3 group: the owner
 *            3 audit                    4 now
 *            4 owner's index            5 channel of invalidations
 *            5 organization's index     6 actor, 7 address
 *            6 groups                   8 now in ms
 *            7 organizations            9 … of the script
 *
 * A script is given the first few of them that it needs.  The last key, of
 * all organizations, may be missing: in a cluster it lies on another server.
 * No key is made up in Lua.
 *
 *     answer  {code, record as HGETALL gives it, last use or nil}
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_access_token_script.h>


/* No write may meet a key of the wrong type half-way. */

#define LUA_CHECK_KEYS                                                        \
    "local kinds = {'hash', 'zset', 'stream', 'zset', 'zset', 'zset',\n"      \
    "               'zset'}\n"                                                \
    "for i, key in ipairs(KEYS) do\n"                                         \
    "  local kind = redis.call('TYPE', key).ok\n"                             \
    "  if kind ~= 'none' and kind ~= kinds[i] then\n"                         \
    "    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind)\n" \
    "  end\n"                                                                 \
    "end\n"                                                                   \
    "local record = KEYS[1]\n"                                                \
    "local function damaged(field)\n"                                         \
    "  return redis.error_reply('DAMAGED ' .. record .. ': field \"'\n"       \
    "                           .. field .. '\"')\n"                          \
    "end\n"                                                                   \
    "local function answer(code)\n"                                           \
    "  return {code, redis.call('HGETALL', record),\n"                        \
    "          redis.call('ZSCORE', KEYS[2], ARGV[1])}\n"                     \
    "end\n"

/*
 * A write that changes nothing, since a server that may not write must not tell
 * anybody of a change, nor that there was none to be made: it may be behind.
 * (Not before a write that a full Redis is to refuse: it refuses the first one
 * of a script only.)
 */

#define LUA_FENCE                                                             \
    "redis.call('HDEL', record, '')\n"

/*
 * Nothing may be refused half-way: the commands that are run from the first
 * write on.  That the user may write to all of KEYS, Redis asks by itself.
 */

#define LUA_CHECK_RIGHTS(commands)                                            \
    "for name in ('" commands "'):gmatch('%a+') do\n"                         \
    "  if redis.acl_check_cmd\n"                                              \
    "     and not redis.acl_check_cmd(name, record)\n"                        \
    "  then\n"                                                                \
    "    return redis.error_reply('NOPERM the command ' .. name)\n"           \
    "  end\n"                                                                 \
    "end\n"

/* The token of another owner is as absent as one that never was. */

#define LUA_CHECK_OWNER(fence)                                                \
    "if redis.call('EXISTS', record) == 0 then\n"                             \
    fence                                                                     \
    "  return {0}\n"                                                          \
    "end\n"                                                                   \
    "local o, g = unpack(redis.call('HMGET', record, 'o', 'g'))\n"            \
    "if not o then\n"                                                         \
    "  return damaged('o')\n"                                                 \
    "end\n"                                                                   \
    "if not g then\n"                                                         \
    "  return damaged('g')\n"                                                 \
    "end\n"                                                                   \
    "if o ~= ARGV[2] or g ~= ARGV[3] then\n"                                  \
    fence                                                                     \
    "  return {0}\n"                                                          \
    "end\n"

/* What decides on a change, with its form, and what else a record must have. */

#define LUA_STATUS                                                            \
    "'s', '^[ar]$', 'e', '^%d+$', 'v', '^[1-9]%d*$'"

#define LUA_WHOLE                                                             \
    LUA_STATUS ", 'h', '^' .. ('.'):rep(32) .. '$', 'a', '^[01]$',"           \
    "'u', '^tu_%w+$', 'c', '^[1-9]%d*$', 'n', '.', 'b', '.'"

/*
 * A change of a record that nobody can read afterwards would be made and
 * answered with an error.  To revoke asks for the status alone, and is made: an
 * edge may still let in what lacks a field that only the API reads.
 */

#define LUA_CHECK_RECORD(needed)                                              \
    "local forms, is = {" needed "}, {}\n"                                    \
    "for i = 1, #forms, 2 do\n"                                               \
    "  local value = redis.call('HGET', record, forms[i])\n"                  \
    "  if not value or not value:match(forms[i + 1]) or #value > 64 then\n"   \
    "    return damaged(forms[i])\n"                                          \
    "  end\n"                                                                 \
    "  is[forms[i]] = value\n"                                                \
    "end\n"                                                                   \
    "if #is.v > 15 then\n"                                                    \
    "  return damaged('v')  -- Lua could not count on exactly\n"              \
    "end\n"                                                                   \
    "local revoked = is.s == 'r'\n"                                           \
    "local expired = is.e ~= '0' and tonumber(is.e) <= tonumber(ARGV[4])\n"

/*
 * The version of a change is above that of the record, and not below the time:
 * so it is above those of changes that a failover has lost.  (Lua would write
 * numbers of 15 digits with an exponent.)
 */

#define LUA_VERSION(before)                                                   \
    "local version = ('%.0f'):format(\n"                                      \
    "  math.max((tonumber(" before ") or 0) + 1, tonumber(ARGV[8])))\n"

/* For edges: the record, its version, and what it is, see memory.h. */

#define LUA_PUBLISH(version, state)                                           \
    "redis.call('PUBLISH', ARGV[5],\n"                                        \
    "           record .. ' ' .. " version " .. ' ' .. " state ")\n"

#define LUA_AUDIT(action)                                                     \
    "redis.call('XADD', KEYS[3], 'MAXLEN', '~', 10000, '*',\n"                \
    "           'action', '" action "', 'id', ARGV[1],\n"                     \
    "           'group', ARGV[3], 'actor', ARGV[6],\n"                        \
    "           'address', ARGV[7])\n"

/* A group without tokens is gone, and so is an organization without any. */

#define LUA_FORGET_OWNER                                                      \
    "if ARGV[3] ~= '' and redis.call('ZCARD', index) == 0 then\n"             \
    "  redis.call('ZREM', groups, ARGV[3])\n"                                 \
    "end\n"                                                                   \
    "if organizations\n"                                                      \
    "   and redis.call('ZCARD', whole) == 0\n"                                \
    "   and redis.call('ZCARD', groups) == 0\n"                               \
    "then\n"                                                                  \
    "  redis.call('ZREM', organizations, ARGV[2])\n"                          \
    "end\n"


/* KEYS 1 … 2, ARGV 1 … 3 */

ngx_redis_script_t  ngx_access_token_script_get = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_OWNER("")
    "return answer(1)\n"
), { 0 }, 0 };


/*
 * KEYS 1 … 7, ARGV 9 when Redis drops the record (0 never), 10 … the record.
 * A group's organization is listed even if it has no token of its own.
 */

ngx_redis_script_t  ngx_access_token_script_create = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("zadd hset expireat xadd hgetall zscore")
    "if redis.call('EXISTS', record) == 1 then\n"
    "  return {3}\n"
    "end\n"
    LUA_PUBLISH("1", "'a'")
    "redis.call('ZADD', KEYS[2], 0, ARGV[1])  -- edges change it, if it is\n"
    "redis.call('ZADD', KEYS[4], 0, ARGV[1])\n"
    "if ARGV[3] ~= '' then\n"
    "  redis.call('ZADD', KEYS[6], 0, ARGV[3])\n"
    "end\n"
    "if KEYS[7] then\n"
    "  redis.call('ZADD', KEYS[7], 0, ARGV[2])\n"
    "end\n"
    "redis.call('HSET', record, unpack(ARGV, 10))\n"
    "if ARGV[9] ~= '0' then\n"
    "  redis.call('EXPIREAT', record, ARGV[9])\n"
    "end\n"
    LUA_AUDIT("create")
    "return answer(1)\n"
), { 0 }, 0 };


/*
 * KEYS 1 … 3, ARGV 9 when Redis drops the record (0 never, "" as before),
 * 10 how many fields to remove, 11 … those, then the fields to set.  Where none
 * is to be removed, a full Redis refuses the first one that is set: that it
 * does before anything is told.
 */

ngx_redis_script_t  ngx_access_token_script_patch = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("hdel hset persist expireat xadd hgetall zscore")
    LUA_CHECK_OWNER(LUA_FENCE)
    LUA_CHECK_RECORD(LUA_WHOLE)
    LUA_VERSION("is.v")
    "local first = 11 + tonumber(ARGV[10])\n"
    "if first == 11 then\n"
    "  redis.call('HSET', record, 's', is.s)\n"
    "else\n"
    LUA_FENCE
    "end\n"
    LUA_PUBLISH("version", "is.s")
    "if first > 11 then\n"
    "  redis.call('HDEL', record, unpack(ARGV, 11, first - 1))\n"
    "end\n"
    "if #ARGV >= first then\n"
    "  redis.call('HSET', record, unpack(ARGV, first))\n"
    "end\n"
    "if ARGV[9] == '0' then\n"
    "  redis.call('PERSIST', record)\n"
    "elseif ARGV[9] ~= '' then\n"
    "  redis.call('EXPIREAT', record, ARGV[9])\n"
    "end\n"
    "redis.call('HSET', record, 'v', version)\n"
    LUA_AUDIT("change")
    "return answer(1)\n"
), { 0 }, 0 };


/*
 * KEYS 1 … 3, ARGV 9 … by whom, in chunks.  Repeated, it changes nothing but
 * tells the edges once more, in case one has missed it.
 */

ngx_redis_script_t  ngx_access_token_script_revoke = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("hdel hset xadd hgetall zscore")
    LUA_CHECK_OWNER(LUA_FENCE)
    LUA_CHECK_RECORD(LUA_STATUS)
    "if revoked then\n"
    LUA_FENCE
    LUA_PUBLISH("is.v", "'r'")
    "  return answer(1)\n"
    "end\n"
    LUA_VERSION("is.v")
    LUA_FENCE
    LUA_PUBLISH("version", "'r'")
    "redis.call('HDEL', record, 'y', 'y1')\n"
    "redis.call('HSET', record, 's', 'r', 'x', ARGV[4], 'v', version,\n"
    "           unpack(ARGV, 9))\n"
    LUA_AUDIT("revoke")
    "return answer(1)\n"
), { 0 }, 0 };


/*
 * KEYS 1 … 3.  Repeated, it changes the version alone: an edge may know of a
 * revocation that Redis has lost, and is to let the token in again.
 */

ngx_redis_script_t  ngx_access_token_script_activate = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("hdel hset xadd hgetall zscore")
    LUA_CHECK_OWNER(LUA_FENCE)
    LUA_CHECK_RECORD(LUA_WHOLE)
    "if expired then\n"
    LUA_FENCE
    "  return answer(2)\n"
    "end\n"
    LUA_VERSION("is.v")
    LUA_FENCE
    LUA_PUBLISH("version", "'a'")
    "redis.call('HDEL', record, 'x', 'y', 'y1')\n"
    "redis.call('HSET', record, 's', 'a', 'v', version)\n"
    "if revoked then\n"
    LUA_AUDIT("activate")
    "end\n"
    "return answer(1)\n"
), { 0 }, 0 };


/* KEYS 1 … 3, ARGV 9 new digest, 10 until when the old one is good (0 not) */

ngx_redis_script_t  ngx_access_token_script_rotate = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("hdel hset xadd hgetall zscore")
    LUA_CHECK_OWNER(LUA_FENCE)
    LUA_CHECK_RECORD(LUA_WHOLE)
    "if revoked or expired then\n"
    LUA_FENCE
    "  return answer(2)\n"
    "end\n"
    LUA_VERSION("is.v")
    LUA_FENCE
    LUA_PUBLISH("version", "'k'")
    "redis.call('HDEL', record, 'p', 'q')\n"
    "if ARGV[10] ~= '0' then\n"
    "  redis.call('HSET', record, 'p', is.h, 'q', ARGV[10])\n"
    "end\n"
    "redis.call('HSET', record, 'h', ARGV[9], 'v', version)\n"
    LUA_AUDIT("rotate")
    "return answer(1)\n"
), { 0 }, 0 };


/*
 * KEYS 1 … 7.  The owner is enough: a damaged record can be deleted too.  The
 * answer has the version of the deletion.
 */

ngx_redis_script_t  ngx_access_token_script_delete = { ngx_string(
    LUA_CHECK_KEYS
    LUA_CHECK_RIGHTS("hdel del zrem zcard xadd")
    LUA_CHECK_OWNER(LUA_FENCE)
    "local index, whole, groups, organizations = unpack(KEYS, 4)\n"
    LUA_VERSION("redis.call('HGET', record, 'v')")
    LUA_FENCE
    LUA_PUBLISH("version", "'d'")
    "redis.call('DEL', record)\n"
    "redis.call('ZREM', KEYS[2], ARGV[1])\n"
    "redis.call('ZREM', index, ARGV[1])\n"
    LUA_FORGET_OWNER
    LUA_AUDIT("delete")
    "return {1, tonumber(version)}\n"
), { 0 }, 0 };


/*
 * Reads the records of ids that the index gave, in that order, until limit of
 * them fit the filter.
 *
 *     KEYS   1 index             ARGV   1 number of records
 *            2 last use                 2 organization, 3 group: the owner
 *            3 organization's index     4 now, 5 limit
 *            4 groups                   6 status or ""
 *            5 … records                7 admin 0, 1 or ""
 *              organizations            8 text to find in the name or ""
 *
 *     answer  {number of records looked at,
 *              {position from 1, record, last use or nil},
 *              {position}: its key does not hold a hash, …}
 *
 * Ids whose record is gone (30 days after it expired) leave the index here; a
 * Redis that takes no writes gives the page all the same.
 */

ngx_redis_script_t  ngx_access_token_script_list = { ngx_string(
    "local index, uses, whole, groups = unpack(KEYS, 1, 4)\n"
    "local count, now = tonumber(ARGV[1]), tonumber(ARGV[4])\n"
    "local limit = tonumber(ARGV[5])\n"
    "local status, admin, search = ARGV[6], ARGV[7], ARGV[8]:lower()\n"
    "local organizations = KEYS[5 + count]\n"
    "local filtered = status .. admin .. search ~= ''\n"
    "local function fits(key)\n"
    "  local r = redis.pcall('HMGET', key, 's', 'e', 'a', 'n')\n"
    "  local e, name = r[2] and tonumber(r[2]), r[4]\n"
    "  if not (r[1] and e and r[3] and name) then\n"
    "    return true  -- gone or damaged: the caller will see\n"
    "  end\n"
    "  local is = r[1] == 'r' and 'revoked' or 'active'\n"
    "  if e ~= 0 and e <= now then\n"
    "    is = 'expired'\n"
    "  end\n"
    "  if status ~= '' and status ~= is\n"
    "     or admin ~= '' and admin ~= r[3]\n"
    "  then\n"
    "    return false\n"
    "  end\n"
    "  if search == '' then\n"
    "    return true\n"
    "  end\n"
    "  if #name == 64 then\n"
    "    r = redis.call('HMGET', key, 'n1', 'n2', 'n3', 'n4', 'n5', 'n6')\n"
    "    for i = 1, 6 do\n"
    "      name = name .. (r[i] or '')\n"
    "    end\n"
    "  end\n"
    "  return name:lower():find(search, 1, true)\n"
    "end\n"
    "local page, gone = {0}, {}\n"
    "for i = 1, count do\n"
    "  if #page > limit then\n"
    "    break\n"
    "  end\n"
    "  page[1] = i\n"
    "  local key = KEYS[4 + i]\n"
    "  if not filtered or fits(key) then\n"
    "    local r = redis.pcall('HGETALL', key)\n"
    "    local id = key:sub(-20)\n"
    "    if r.err then\n"
    "      page[#page + 1] = {i}\n"
    "    elseif #r == 0 then\n"
    "      gone[#gone + 1] = id\n"
    "    else\n"
    "      page[#page + 1] = {i, r, redis.call('ZSCORE', uses, id)}\n"
    "    end\n"
    "  end\n"
    "end\n"
    "if #gone > 0 and tonumber(redis.pcall('ZREM', index, unpack(gone)))\n"
    "then\n"
    "  redis.call('ZREM', uses, unpack(gone))\n"
    LUA_FORGET_OWNER
    "end\n"
    "return page\n"
), { 0 }, 1 };


void
ngx_access_token_script_init(void)
{
    ngx_redis_script_init(&ngx_access_token_script_get);
    ngx_redis_script_init(&ngx_access_token_script_create);
    ngx_redis_script_init(&ngx_access_token_script_patch);
    ngx_redis_script_init(&ngx_access_token_script_revoke);
    ngx_redis_script_init(&ngx_access_token_script_activate);
    ngx_redis_script_init(&ngx_access_token_script_rotate);
    ngx_redis_script_init(&ngx_access_token_script_delete);
    ngx_redis_script_init(&ngx_access_token_script_list);
}
