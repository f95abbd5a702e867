"""What is done in one step inside Redis: scripts, and the keys that they touch.

A script touches the keys of one room, or those of the processes, which a hash tag keeps on one
node of a cluster. Names, tokens and bodies are in Redis as they are in a server's memory: who
can read it learns what a server learns.

Pure. Source: Redis, "Scripting with Lua", "Redis streams", "Redis cluster specification" (hash
tags).
"""

from typing import Final

from signal_server.messages import NAMEPLATE
from signal_server.storage import Name

PREFIX: Final = "rtcsend:1"  # another number, should the entries ever change their meaning
PROCESSES: Final = (f"{PREFIX}:{{processes}}:seen", f"{PREFIX}:{{processes}}:live")
RESERVE_SECONDS: Final = 300  # a client has given up a request without an answer long before

APPENDED: Final = 1
DELETED: Final = 2
REFUSED: Final = 0


def log_key(name: Name) -> str:
    """Return the key of a room's log, which is also the channel of what is appended."""
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


# KEYS: the log, its marks. ARGV: the entry that is believed to be the last one, milliseconds to
# keep both, the number to give ("*": the server's clock), head, body, "1" if nobody is left after
# it, the marks from then on ("": as they are).
APPEND: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local at = last[1] and last[1][1] or '0-0'
if at ~= ARGV[1] then
    local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
    local missed = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')
    return {0, first[1] and first[1][1] or '0-0', missed}
end
if ARGV[6] == '1' then
    redis.call('DEL', KEYS[1], KEYS[2])
    return {2}
end
local number = redis.call('XADD', KEYS[1], ARGV[3], 'h', ARGV[4], 'b', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
if ARGV[7] == '' then
    redis.call('PEXPIRE', KEYS[2], ARGV[2])
else
    redis.call('SET', KEYS[2], ARGV[7], 'PX', ARGV[2])
end
redis.call('PUBLISH', KEYS[1], at .. ' ' .. number .. ' ' .. ARGV[4] .. '\\n' .. ARGV[5])
return {1, number}
"""

# KEYS: the log. ARGV: the last entry that is known. Answers like a refused append.
READ: Final = """
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local missed = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')
return {0, first[1] and first[1][1] or '0-0', missed}
"""

# KEYS: PROCESSES. ARGV: this process, its live mailboxes, seconds after which one is forgotten.
# Answers the server's time and, for each process, its name, when it was seen and its mailboxes.
HEARTBEAT: Final = """
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
