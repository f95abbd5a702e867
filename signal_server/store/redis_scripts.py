"""What is done in one step inside Redis: scripts, and the keys that they touch.

A script touches the keys of one room, or those of the processes, which a hash tag keeps on one
node of a cluster; what it publishes is passed on by every node. Names, tokens and bodies are in
Redis as they are in a server's memory: who can read it learns what a server learns.

Pure. Source: Redis, "Scripting with Lua", "Redis streams", "Redis cluster specification" (hash
tags).
"""

from typing import Final

from signal_server.messages import NAMEPLATE
from signal_server.storage import Name

PREFIX: Final = "rtcsend:1"  # another number, should the entries ever change their meaning
PROCESSES: Final = (f"{PREFIX}:{{processes}}:seen", f"{PREFIX}:{{processes}}:live")
RESERVE_SECONDS: Final = 300  # a client has given up a request without an answer long before

# What scripts about a log answer first.
MISSED: Final = 0
APPENDED: Final = 1
STRANGER: Final = 2
KNOWN: Final = 3


def channel_of(process: str) -> str:
    """Return the channel on which a process hears what others append to the rooms it is in."""
    return f"{PREFIX}:process:{process}"


def log_key(name: Name) -> str:
    """Return the key of a room's log."""
    return f"{PREFIX}:{{{name.kind}:{name.text}}}"


def marks_key(key: str) -> str:
    """Return the key of the marks beside a log, on the same node."""
    return f"{key}:marks"


def reserve_key(side: str) -> str:
    """Return the key of the nameplate that was drawn for a side."""
    return f"{PREFIX}:drawn:{{{side}}}"


def parse_reserved_untrusted(value: bytes | None) -> Name | None:
    """Return the nameplate that is kept for a side; None for nothing, and for what is none."""
    text = (value or b"").decode("ascii", "replace")
    return Name("nameplate", text) if NAMEPLATE.fullmatch(text) else None


# What a log has behind the entry that is known to be its last one: 1 and the entries. Or 0 and
# none: the entry that is known is not there, so it is another log, or an older state of this one.
_MISSED: Final = """
local function missed(log, known)
    if known ~= '0-0' and #redis.call('XRANGE', log, known, known) == 0 then
        return {0, 0, {}}
    end
    return {0, 1, redis.call('XRANGE', log, '(' .. known, '+')}
end
"""

# KEYS: the log, its marks. ARGV: the entry that is believed to be the last one, milliseconds to
# keep both ("0": as long as they are kept anyway), the number to give ("*": the server's clock),
# head, body, "1" if nobody is left after it, the marks from then on ("": as they are), and the
# channels of the other processes that are in the room.
_APPEND: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local at = last[1] and last[1][1] or '0-0'
if at ~= ARGV[1] then
    return missed(KEYS[1], ARGV[1])
end
local number = redis.call('XADD', KEYS[1], ARGV[3], 'h', ARGV[4], 'b', ARGV[5])
if ARGV[6] == '1' then
    redis.call('DEL', KEYS[1], KEYS[2])
elseif ARGV[2] ~= '0' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    if ARGV[7] == '' then
        redis.call('PEXPIRE', KEYS[2], ARGV[2])
    else
        redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[2])
    end
end
for each = 8, #ARGV do
    local line = KEYS[1] .. ' ' .. at .. ' ' .. number .. ' ' .. ARGV[4]
    redis.call('PUBLISH', ARGV[each], line .. '\\n' .. ARGV[5])
end
return {1, number}
"""
APPEND: Final = _MISSED + _APPEND

# Does nothing, where a script may write: not while Redis is full, nor on a replica.
MAY_WRITE: Final = "#!lua\nreturn 1"

# Also while Redis is full: what ends things there, and the little that pairings say.
_WHILE_FULL: Final = "#!lua flags=allow-oom\n"
APPEND_WHILE_FULL: Final = _WHILE_FULL + APPEND

# KEYS: the log. ARGV: the last entry that is known. Answers like a refused append.
READ: Final = _MISSED + "return missed(KEYS[1], ARGV[1])"

# KEYS: the log, its marks. ARGV: the mark of who asks ("": of nobody who could be known). Answers
# the log, like READ, if that is an entry or none, which is as cheap as the marks; else STRANGER,
# or KNOWN where that may be. Marks are of one length, and so are found as a whole or not at all.
_LOOK: Final = """
if redis.call('XLEN', KEYS[1]) <= 1 then
    return missed(KEYS[1], '0-0')
end
local marks = redis.call('GET', KEYS[2])
if marks and (ARGV[1] == '' or not string.find(marks, ARGV[1], 1, true)) then
    return {2}
end
return {3}
"""
LOOK: Final = _MISSED + _LOOK

# KEYS: PROCESSES. ARGV: this process, its live mailboxes, seconds after which one is forgotten.
# Answers the server's time and, for each process, its name, when it was seen and its mailboxes.
HEARTBEAT: Final = (
    _WHILE_FULL
    + """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])) do
    redis.call('ZREM', KEYS[1], process)
    redis.call('HDEL', KEYS[2], process)
end
local seen = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local answer = {time[1], time[2]}
for i = 1, #seen, 2 do
    local age = math.floor((now - seen[i + 1]) * 1000)
    answer[#answer + 1] = seen[i]
    answer[#answer + 1] = age
    answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[2], seen[i]) or '0')
end
return answer
"""
)

SHORT: Final = (APPEND, APPEND_WHILE_FULL, LOOK, HEARTBEAT, MAY_WRITE)
"""Scripts that answer little."""

LONG: Final = (READ,)
"""Those that may answer a whole log."""
