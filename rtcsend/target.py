"""Where an arriving file goes: the receiver's decision about a proposal.

Checks in the order of what they cost the user: the name, the script's own limits, the
space, the questions. Nothing is created before all of them have passed.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rtcsend.acceptance import check_limits, check_name
from rtcsend.errors import CannotWrite, Declined, DigestMismatch, PeerProtocolError, TargetExists
from rtcsend.events import Entry, Proposal
from rtcsend.files.opening import free_space, target_exists
from rtcsend.files.paths import safe_name_untrusted
from rtcsend.files.sink import FileSink
from rtcsend.files.stdout_sink import StdoutSink
from rtcsend.files.stream_sink import StreamSink
from rtcsend.files.text_sink import TextSink
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.options import STDOUT, Conflict, Emit, Questions, ReceiveOptions
from rtcsend.transfer.ports import Offer

if TYPE_CHECKING:
    from rtcsend.files.tree_sink import TreeSink

    Sink = FileSink | StdoutSink | StreamSink | TextSink | TreeSink

_EXECUTABLE: Final = 0o111  # permission bits
_WORTHLESS: Final = (DigestMismatch, PeerProtocolError)  # nobody knows what has arrived


class Target:
    """Decides once, and puts away what is left of a transfer that fails.

    It is kept for the next run. Of one whose other side broke the rules, or whose digest is wrong,
    only as much is kept as an earlier run had left.

    Args:
        options: What the user asked for.
        questions: Whoever answers for the user.
        emit: Takes the proposal.
    """

    def __init__(self, options: ReceiveOptions, *, questions: Questions, emit: Emit) -> None:
        self._options = options
        self._questions = questions
        self._emit = emit
        self._sink: Sink | None = None

    async def __aenter__(self) -> Self:
        """Check the output before anybody is contacted.

        Raises:
            CannotWrite: The folder does not exist.
        """
        folder, _ = self._place("")
        if not self._to_stdout and not _is_folder(folder):
            raise CannotWrite(
                f"The folder {folder} does not exist.", hint="Make it, or give another --output."
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._sink is not None:
            await self._sink.abandon(keep_partial=not isinstance(exc, _WORTHLESS))

    @property
    def text(self) -> str | None:
        """The text that came, when one did, and it is in no file."""
        return self._sink.text if isinstance(self._sink, TextSink) else None

    @property
    def _to_stdout(self) -> bool:
        return self._options.output == STDOUT

    async def decide(self, offer: Offer) -> "Sink | None":
        """Return where the file goes; None when it is there already and to be skipped.

        Raises:
            UnsafePath: The proposed name cannot be made safe.
            Declined: By the user, or by --max-size or --accept-glob.
            CannotWrite: There is no space for it, or no permission.
            TargetExists: It is there already, and nobody says what to do.
        """
        if not offer.manifest.is_one_file:
            # Fifteen modules, and most of what is sent is one file.
            from rtcsend.tree_decision import TreeDecision  # noqa: PLC0415

            decision = TreeDecision(self._options, questions=self._questions, emit=self._emit)
            self._sink = await decision.decide(offer)
            return self._sink
        entry = next(offer.manifest.entries())
        name = safe_name_untrusted(entry.path, windows=os.name == "nt").name
        proposal = self._proposal(entry, name, sender=offer.sender)
        self._emit(proposal)
        check_limits(self._options, files=1, size=entry.size)
        check_name(self._options, name, name)
        self._sink = await self._opened(proposal, entry, holes=offer.manifest.holes)
        return self._sink

    async def _opened(
        self, proposal: Proposal, entry: ManifestEntry, *, holes: int
    ) -> "Sink | None":
        """Return where it goes: a stream or a text, too."""
        if self._to_stdout:
            await self._ask(proposal)
            size = proposal.bytes
            return StdoutSink(name=proposal.tops[0], size=size, limit=self._options.max_size)
        if entry.kind == "text" and self._options.output is None:
            await self._ask(proposal)
            return TextSink(size=entry.size, show=self._options.show_text)
        return await self._file(proposal, entry, holes=holes)

    def _proposal(self, entry: ManifestEntry, name: str, *, sender: str) -> Proposal:
        folder, final_name = self._place(name)
        is_program = entry.mode is not None and bool(entry.mode & _EXECUTABLE)
        is_stored = not self._to_stdout and (
            entry.kind != "text" or self._options.output is not None
        )
        is_there = is_stored and target_exists(folder, final_name)
        size = None if entry.kind == "stream" else entry.size
        return Proposal(
            files=1,
            bytes=size,
            entries=(Entry(path=name, kind=entry.kind, bytes=size),),
            sender=sender,
            tops=(name,),
            executables=int(is_program),
            renamed=int(name != entry.path),
            existing=int(is_there),
            existing_paths=(final_name,) if is_there else (),
        )

    async def _file(
        self, proposal: Proposal, proposed: ManifestEntry, *, holes: int
    ) -> "Sink | None":
        folder, name = self._place(proposal.tops[0])
        await _check_space(folder, name, proposed, holes=holes)
        await self._ask(proposal)
        conflict = await self._resolve(folder, name)
        if conflict is Conflict.SKIP:
            return None
        if proposed.kind == "stream":
            limit = self._options.max_size
            return await StreamSink.create(folder, name, conflict=conflict, limit=limit)
        return await FileSink.create(
            folder,
            name,
            size=proposed.size,
            sample=proposed.sample,
            conflict=conflict,
            mode=proposed.mode,
            preserve=self._options.preserve,
            mtime_ns=proposed.mtime_ns,
        )

    async def _ask(self, proposal: Proposal) -> None:
        if not await self._questions.accept(proposal):
            name = proposal.entries[0].path
            raise Declined(f"{name} was declined.", hint="Nothing was saved.")

    def _place(self, name: str) -> tuple[Path, str]:
        """Return the folder and the name in it, as --output says."""
        output = self._options.output
        if output is None:
            return Path(), name
        if _is_folder(output):
            return output, name
        return output.parent, output.name

    async def _resolve(self, folder: Path, name: str) -> Conflict:
        """Return what to do about the target; SKIP only when it is there."""
        conflict = self._options.conflict
        if not target_exists(folder, name):
            return Conflict.ASK if conflict is Conflict.SKIP else conflict
        if conflict is Conflict.ASK:
            conflict = await self._questions.conflict(name)
        if conflict is Conflict.ASK:
            raise TargetExists(f"{name} already exists.")
        return conflict


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises behind a closed folder


async def _check_space(folder: Path, name: str, proposed: ManifestEntry, *, holes: int) -> None:
    free = await free_space(folder, name, size=proposed.size, sample=proposed.sample)
    needed = proposed.size - holes
    if free is not None and free < needed:
        raise CannotWrite(
            f"No space left for {name}: it takes {needed} bytes, and {free} are free.",
            for_peer=f"The receiver has no space left for {name}.",
        )
