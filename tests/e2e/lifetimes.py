"""``rtcsend`` that takes the permissions of a TURN server to end after a second, or soon after.

python -m tests.e2e.lifetimes send …

How long an allocation lives a server says, and how long a permission and a channel do RFC 8656.
"""

from rtcsend.cli.main import run
from rtcsend.peer import turn_client

if __name__ == "__main__":
    turn_client.CHANNEL_REFRESH = 1.0
    run()
