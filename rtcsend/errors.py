"""Every way that rtcsend can end, one class an exit code.

An error carries two sentences: ``message`` says what happened, ``hint`` says what to do
about it. The command line prints both on standard error and exits with ``exit_code``;
``--json`` prints them with ``slug``. docs/cli.md lists all of them, and
tests/test_errors.py holds class, code and that page together.

::

    RtcsendError
    ├── InternalError        1  bug
    ├── UsageError           2  usage
    ├── RendezvousError
    │   ├── RendezvousUnreachable  10
    │   ├── Refused                11
    │   ├── NoSuchCode             12
    │   └── PeerNeverCame          13
    ├── PairingError
    │   ├── WrongCode              20
    │   └── IncompatiblePeer       21
    ├── PeerConnectionError
    │   ├── NoRoute                30
    │   └── ConnectionLost         31
    ├── TransferError
    │   ├── Declined               40
    │   ├── PeerAborted            41
    │   ├── DigestMismatch         42
    │   └── PeerProtocolError      43
    ├── FileError
    │   ├── CannotRead             50
    │   ├── CannotWrite            51
    │   ├── UnsafePath             52
    │   └── TargetExists           53
    └── StoppedByUser
        ├── Interrupted           130
        └── Terminated            143
"""

from typing import ClassVar, Final

SOMEBODY_BETWEEN: Final = (
    "Somebody may be between the two machines: try again over another network."
)
"""Where two people saw different verification strings."""

GO_ON: Final = "to go on where it stopped"
"""What a hint says where another run goes on; of a stream none can."""


class RtcsendError(Exception):
    """The root of all errors that rtcsend raises on purpose.

    Args:
        message: One sentence that says what happened, with its full stop.
        hint: One sentence that says what to do; the class's own one by default.
        for_peer: What the other side is told instead of ``message``, where that names
            something private, like a folder of this machine.

    Attributes:
        told_by_peer: True when the other side said so: it need not be told again.
        exit_code: What the process exits with.
        slug: The ``code`` of the JSON ``error`` event and of abort messages.
    """

    exit_code: ClassVar[int] = 1
    slug: ClassVar[str] = "bug"
    default_hint: ClassVar[str] = "Please report it with the output of the same command and -v."

    def __init__(
        self, message: str, *, hint: str | None = None, for_peer: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.default_hint if hint is None else hint
        self.for_peer = message if for_peer is None else for_peer
        self.told_by_peer = False

    def __str__(self) -> str:
        return self.message


class InternalError(RtcsendError):
    """Something in rtcsend itself is wrong."""


class UsageError(RtcsendError):
    """The command line, an option or a code cannot be understood."""

    exit_code = 2
    slug = "usage"
    default_hint = "Run the command with --help to see what it takes."


class RendezvousError(RtcsendError):
    """The rendezvous did not bring the two sides together."""


class RendezvousUnreachable(RendezvousError):
    """The rendezvous server does not answer, or none was found."""

    exit_code = 10
    slug = "rendezvous-unreachable"
    default_hint = "Check the address given by --server or RTCSEND_SERVER, and the network."


class Refused(RendezvousError):
    """The rendezvous server refuses: a limit, a full mailbox, or its version."""

    exit_code = 11
    slug = "refused"
    default_hint = "Wait a little and try again, or use another --server."
    retry_after: int | None = None
    """Seconds after which the server wants to be asked again, when it has said so."""


class NoSuchCode(RendezvousError):
    """Nobody waits at this nameplate, or the code has expired."""

    exit_code = 12
    slug = "no-such-code"
    default_hint = (
        "Check the number at the front of the code; "
        "a code works once, and only while the sender waits."
    )


class PeerNeverCame(RendezvousError):
    """The other side did not come, or did not answer, within --timeout."""

    exit_code = 13
    slug = "peer-never-came"
    default_hint = "Run the command again when the other side is ready, or give a longer --timeout."


class PairingError(RtcsendError):
    """The two sides met, but did not come to trust each other."""


class WrongCode(PairingError):
    """The words differ: one side mistyped them, or somebody guessed."""

    exit_code = 20
    slug = "wrong-code"
    default_hint = "The code is used up: send again, and type the new code."


class IncompatiblePeer(PairingError):
    """The other side speaks no protocol version that this one speaks."""

    exit_code = 21
    slug = "incompatible-peer"
    default_hint = "Install the same version of rtcsend on both sides."


class PeerConnectionError(RtcsendError):
    """The two sides trust each other, but cannot reach each other."""


class NoRoute(PeerConnectionError):
    """No pair of addresses works, and no relay either."""

    exit_code = 30
    slug = "no-route"
    default_hint = (
        "A TURN relay would help (--ice turn:USER:PASSWORD@HOST:PORT on both sides); "
        "rtcsend doctor shows what each network allows."
    )


class ConnectionLost(PeerConnectionError):
    """The connection broke during the transfer."""

    exit_code = 31
    slug = "connection-lost"
    default_hint = "Check the network on both sides, then run both commands again."


class TransferError(RtcsendError):
    """The other side ended the transfer, or broke its rules."""


class Declined(TransferError):
    """The receiver does not want the files."""

    exit_code = 40
    slug = "declined"
    default_hint = "Ask the person on the other side, and send again."


class PeerAborted(TransferError):
    """The other side stopped before the end."""

    exit_code = 41
    slug = "aborted"
    default_hint = "Ask the person on the other side, and run both commands again."


class DigestMismatch(TransferError):
    """The bytes that arrived are not the bytes that were sent."""

    exit_code = 42
    slug = "digest-mismatch"
    default_hint = "Nothing was saved; send again, and check memory and disks if it comes back."


class PeerProtocolError(TransferError):
    """The other side sent something that the protocol does not allow."""

    exit_code = 43
    slug = "peer-protocol"
    default_hint = "Nothing of it was used; install the same version of rtcsend on both sides."


class FileError(RtcsendError):
    """A file on this machine stands in the way."""


class CannotRead(FileError):
    """A file to send is missing, unreadable, or changed while it was sent."""

    exit_code = 50
    slug = "cannot-read"
    default_hint = "Check the path and its permissions, and send again."


class CannotWrite(FileError):
    """A file cannot be written, or there is no space for it."""

    exit_code = 51
    slug = "cannot-write"
    default_hint = (
        "Free some space or choose another folder with --output, and run both commands again."
    )


class UnsafePath(FileError):
    """A name from the other side cannot be made safe."""

    exit_code = 52
    slug = "unsafe-path"
    default_hint = "Nothing was written; ask the sender to rename the file."


class TargetExists(FileError):
    """The file is already there, and nothing says what to do about it."""

    exit_code = 53
    slug = "exists"
    default_hint = "Run it again with --overwrite, --rename or --skip, or with another --output."


class StoppedByUser(RtcsendError):
    """A signal ended this side; the other side was told."""


class Interrupted(StoppedByUser):
    """Ctrl-C."""

    exit_code = 130
    slug = "interrupted"
    default_hint = f"Run both commands again {GO_ON}."


class Terminated(StoppedByUser):
    """SIGTERM."""

    exit_code = 143
    slug = "terminated"
    default_hint = f"Run both commands again {GO_ON}."
