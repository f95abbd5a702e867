import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from rtcsend import target as target_module
from rtcsend.blocks import BLOCK_SIZE
from rtcsend.errors import (
    CannotWrite,
    ConnectionLost,
    Declined,
    DigestMismatch,
    PeerAborted,
    PeerProtocolError,
    RtcsendError,
    TargetExists,
    UnsafePath,
)
from rtcsend.events import Entry, Event, Proposal
from rtcsend.files.sink import FileSink
from rtcsend.files.stdout_sink import StdoutSink
from rtcsend.manifest.entry import ManifestEntry
from rtcsend.manifest.selection import one_file
from rtcsend.options import STDOUT, Conflict, ReceiveOptions
from rtcsend.target import Target
from rtcsend.transfer.ports import Offer
from tests.files.conftest import public_folder, unprivileged

__all__ = ["public_folder", "unprivileged"]  # fixtures, named below

CONTENT = b"what arrives"
DIGEST = blake3(CONTENT).hexdigest()
NAME = "film.iso"


class FakeQuestions:
    """Answers as it is told, and remembers what it was asked."""

    def __init__(self, *, accept: bool = True, conflict: Conflict = Conflict.ASK) -> None:
        self.asked: list[object] = []
        self._accept = accept
        self._conflict = conflict

    async def accept(self, proposal: Proposal) -> bool:
        self.asked.append(proposal)
        return self._accept

    async def conflict(self, name: str) -> Conflict:
        self.asked.append(name)
        return self._conflict

    async def verification_matches(self, verification: str) -> bool:
        raise AssertionError(verification)


class Scene:
    def __init__(
        self,
        output: Path | None,
        questions: FakeQuestions,
        *,
        conflict: Conflict = Conflict.ASK,
        max_size: int | None = None,
        accept_glob: tuple[str, ...] = (),
    ) -> None:
        self.questions = questions
        self.events: list[Event] = []
        options = ReceiveOptions(
            code="7-guitar-velvet",
            output=output,
            conflict=conflict,
            max_size=max_size,
            accept_glob=accept_glob,
        )
        self.target = Target(options, questions=questions, emit=self.events.append)

    async def receive(self, path: str = NAME) -> Path | None:
        """Receive a whole file; return where it is, None when it was skipped."""
        async with self.target as target:
            sink = await target.decide(proposal(path))
            if sink is None:
                return None
            await sink.write(memoryview(CONTENT))
            return (await sink.finish(DIGEST))[0]

    async def refuses(self, error: type[RtcsendError], path: str = NAME) -> RtcsendError:
        with pytest.raises(error) as caught:
            await self.receive(path)
        return caught.value

    @property
    def shown(self) -> Proposal:
        (event,) = self.events
        assert isinstance(event, Proposal)
        return event


def proposal(path: str = NAME, size: int = len(CONTENT)) -> Offer:
    entry = ManifestEntry(path=path, kind="file", size=size, sample="5a" * 32)
    return Offer(sender="ada-laptop", manifest=one_file(entry).manifest)


def yes(conflict: Conflict = Conflict.ASK) -> FakeQuestions:
    return FakeQuestions(accept=True, conflict=conflict)


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """A folder in which the name is taken."""
    (tmp_path / NAME).write_bytes(b"old")
    return tmp_path


async def test_into_a_folder(tmp_path: Path) -> None:
    scene = Scene(tmp_path, yes())
    assert await scene.receive() == tmp_path / NAME
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert listing(tmp_path) == [NAME]
    entry = Entry(path=NAME, kind="file", bytes=len(CONTENT))
    assert scene.shown == Proposal(
        files=1, bytes=len(CONTENT), entries=(entry,), sender="ada-laptop", tops=(NAME,)
    )
    assert scene.questions.asked == [scene.shown]


async def test_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert await Scene(None, yes()).receive() == Path(NAME)
    assert listing(tmp_path) == [NAME]


async def test_into_a_named_file(tmp_path: Path) -> None:
    path = tmp_path / "other.iso"
    assert await Scene(path, yes()).receive() == path
    assert listing(tmp_path) == ["other.iso"]


async def test_into_a_named_file_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await Scene(Path("other.iso"), yes()).receive() == Path("other.iso")
    assert listing(tmp_path) == ["other.iso"]


async def test_to_standard_output() -> None:
    scene = Scene(STDOUT, yes())
    async with scene.target as target:
        assert isinstance(await target.decide(proposal()), StdoutSink)
    assert scene.questions.asked == [scene.shown]


async def test_standard_output_has_no_folder_and_no_conflict(
    taken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(taken)
    async with Scene(STDOUT, yes()).target as target:
        assert isinstance(await target.decide(proposal()), StdoutSink)
    assert (taken / NAME).read_bytes() == b"old"


@pytest.mark.parametrize("output", ["missing/film.iso", "missing/folder/film.iso", "file/x"])
async def test_a_missing_folder_is_said_before_anybody_is_contacted(
    tmp_path: Path, output: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    scene = Scene(tmp_path / output, yes())
    with pytest.raises(CannotWrite, match="does not exist"):
        await scene.target.__aenter__()
    assert scene.events == []


async def test_declined_by_the_user(tmp_path: Path) -> None:
    for output in (tmp_path, tmp_path / "x", STDOUT):
        scene = Scene(output, FakeQuestions(accept=False))
        await scene.refuses(Declined)
        assert len(scene.questions.asked) == 1
    assert listing(tmp_path) == []


@pytest.mark.parametrize("output", ["folder", "file", "-"])
@pytest.mark.parametrize(
    ("max_size", "accept_glob"),
    [(len(CONTENT) - 1, ()), (0, ()), (None, ("*.txt",)), (None, ("*.txt", "FILM.*")), (1, ("*",))],
)
async def test_declined_by_the_scripts_limits_without_a_question(
    tmp_path: Path, output: str, max_size: int | None, accept_glob: tuple[str, ...]
) -> None:
    where = {"folder": tmp_path, "file": tmp_path / "x.txt", "-": STDOUT}[output]
    scene = Scene(where, yes(), max_size=max_size, accept_glob=accept_glob)
    await scene.refuses(Declined)
    assert scene.questions.asked == []
    assert len(scene.events) == 1  # it is shown all the same
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("max_size", "accept_glob"),
    [(len(CONTENT), ()), (None, ("*.iso",)), (None, ("*.txt", "film.[ij]so")), (100, ("?ilm*",))],
)
async def test_within_the_scripts_limits(
    tmp_path: Path, max_size: int | None, accept_glob: tuple[str, ...]
) -> None:
    scene = Scene(tmp_path, yes(), max_size=max_size, accept_glob=accept_glob)
    assert await scene.receive() == tmp_path / NAME


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "a/b", "/etc/passwd", "C:x", "x\0", "\\x"])
async def test_unsafe_names_are_not_even_shown(tmp_path: Path, path: str) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for output in (inner, inner / "mine.iso", STDOUT):
        scene = Scene(output, yes())
        await scene.refuses(UnsafePath, path)
        assert scene.events == []
        assert scene.questions.asked == []
    assert listing(inner) == []
    assert listing(tmp_path) == ["inner"]


async def test_a_name_that_is_made_safe_is_shown_as_it_will_be(tmp_path: Path) -> None:
    scene = Scene(tmp_path, yes(), accept_glob=("*_gpj.exe",))
    saved = await scene.receive("photo\u202egpj.exe")
    assert saved == tmp_path / "photo_gpj.exe"
    assert scene.shown.entries[0].path == "photo_gpj.exe"


@pytest.mark.parametrize("accept", [True, False])
async def test_no_space_is_said_before_the_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: bool
) -> None:
    async def little(folder: Path, name: str, *, size: int, sample: str) -> int:
        assert (folder, name, size, sample) == (tmp_path, NAME, len(CONTENT), "5a" * 32)
        return len(CONTENT) - 1

    monkeypatch.setattr(target_module, "free_space", little)
    scene = Scene(tmp_path, FakeQuestions(accept=accept))
    error = await scene.refuses(CannotWrite)
    assert scene.questions.asked == []
    assert "No space left" in error.message
    assert str(len(CONTENT) - 1) not in error.for_peer
    assert listing(tmp_path) == []


async def test_holes_of_a_sparse_file_need_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def little(*_: object, **__: object) -> int:
        return 10

    monkeypatch.setattr(target_module, "free_space", little)
    offer = proposal(size=1 << 40)
    offer.manifest.holes = (1 << 40) - 10
    async with Scene(tmp_path, yes()).target as target:
        assert await target.decide(offer) is not None
    offer.manifest.holes -= 1
    with pytest.raises(CannotWrite, match="it takes 11 bytes, and 10 are free"):
        async with Scene(tmp_path, yes()).target as target:
            await target.decide(offer)


@pytest.mark.parametrize("free", [len(CONTENT), None])
async def test_just_enough_space_or_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    async def answer(*_: object, **__: object) -> int | None:
        return free

    monkeypatch.setattr(target_module, "free_space", answer)
    assert await Scene(tmp_path, yes()).receive() == tmp_path / NAME


async def test_a_folder_that_cannot_be_written(
    public_folder: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    with unprivileged():
        await Scene(public_folder, yes()).refuses(CannotWrite)
    assert listing(public_folder) == []


async def test_it_exists_and_nobody_answers(taken: Path) -> None:
    scene = Scene(taken, yes(Conflict.ASK))
    await scene.refuses(TargetExists)
    assert scene.questions.asked == [scene.shown, NAME]
    assert (taken / NAME).read_bytes() == b"old"
    assert listing(taken) == [NAME]


@pytest.mark.parametrize("by", ["option", "answer"])
@pytest.mark.parametrize(
    ("conflict", "saved", "content"),
    [
        (Conflict.OVERWRITE, NAME, {NAME: CONTENT}),
        (Conflict.RENAME, "film (1).iso", {NAME: b"old", "film (1).iso": CONTENT}),
        (Conflict.SKIP, None, {NAME: b"old"}),
    ],
)
async def test_it_exists(
    taken: Path, by: str, conflict: Conflict, saved: str | None, content: dict[str, bytes]
) -> None:
    for output in (taken, taken / NAME):
        (taken / NAME).write_bytes(b"old")
        (taken / "film (1).iso").unlink(missing_ok=True)
        if by == "option":
            scene = Scene(output, yes(Conflict.ASK), conflict=conflict)
        else:
            scene = Scene(output, yes(conflict))
        assert await scene.receive() == (taken / saved if saved else None)
        assert contents(taken) == content
        asked = [scene.shown] if by == "option" else [scene.shown, NAME]
        assert scene.questions.asked == asked


@pytest.mark.parametrize("conflict", list(Conflict))
async def test_it_does_not_exist(tmp_path: Path, conflict: Conflict) -> None:
    scene = Scene(tmp_path, yes(), conflict=conflict)
    assert await scene.receive() == tmp_path / NAME
    assert scene.questions.asked == [scene.shown]


async def test_a_dangling_link_has_the_name(tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    await Scene(tmp_path, yes()).refuses(TargetExists)
    assert listing(tmp_path) == [NAME]


async def test_a_folder_has_the_name(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    await Scene(tmp_path, yes(), conflict=Conflict.OVERWRITE).refuses(CannotWrite)
    assert listing(tmp_path) == [NAME]


async def test_a_file_that_came_meanwhile_is_not_overwritten_unasked(tmp_path: Path) -> None:
    class Slow(FakeQuestions):
        async def accept(self, proposal: Proposal) -> bool:
            (tmp_path / NAME).write_bytes(b"meanwhile")
            return await super().accept(proposal)

    await Scene(tmp_path, Slow(), conflict=Conflict.ASK).refuses(TargetExists)
    assert (tmp_path / NAME).read_bytes() == b"meanwhile"


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (CannotWrite("The disk is full."), True),
        (ConnectionLost("It broke."), True),
        (PeerAborted("It stopped."), True),
        (KeyboardInterrupt(), True),
        (asyncio.CancelledError(), True),
        (DigestMismatch("Not the same."), False),
        (PeerProtocolError("It sent nonsense."), False),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_has_arrived_is_kept_unless_it_is_worthless(
    tmp_path: Path, error: BaseException, kept: bool
) -> None:
    content = os.urandom(2 * BLOCK_SIZE)

    async def receive() -> None:
        async with Scene(tmp_path, yes()).target as target:
            sink = await target.decide(proposal(size=3 * BLOCK_SIZE))
            assert isinstance(sink, FileSink)
            await sink.write(content)
            raise error

    with pytest.raises(type(error)):
        await receive()
    found = contents(tmp_path)
    journal = found.pop(".film.iso.rtcsend-journal", None)
    assert (journal is not None) is kept
    assert list(found.values()) == ([content] if kept else [])


async def test_an_earlier_run_is_gone_on_with(tmp_path: Path) -> None:
    content = os.urandom(2 * BLOCK_SIZE)
    digest = blake3(content).hexdigest()
    for first in (True, False):
        with suppress(PeerAborted):
            async with Scene(tmp_path, yes()).target as target:
                sink = await target.decide(proposal(size=len(content)))
                assert sink is not None
                if first:
                    await sink.write(content[:BLOCK_SIZE])
                    raise PeerAborted("It stopped.")
                assert sink.blocks == 1
                await sink.keep(BLOCK_SIZE)
                await sink.write(content[BLOCK_SIZE:])
                await sink.finish(digest)
    assert contents(tmp_path) == {NAME: content}


# Streams and texts

STREAM = ManifestEntry(path="x.tar", kind="stream")
TEXT = ManifestEntry(path="message.txt", kind="text", size=len(CONTENT))


class Shown:
    """Who is shown a text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def __call__(self, text: str) -> None:
        self.texts.append(text)


async def received(
    entry: ManifestEntry, options: ReceiveOptions, *, content: bytes = CONTENT
) -> tuple[Proposal, Sequence[Path], str | None]:
    """Receive it whole; return what was proposed, where it is, and what it says."""
    events: list[Event] = []
    offer = Offer(sender="ada-laptop", manifest=one_file(entry).manifest)
    async with Target(options, questions=yes(), emit=events.append) as target:
        sink = await target.decide(offer)
        assert sink is not None
        await sink.write(memoryview(content))
        paths = await sink.finish(blake3(content).hexdigest())
        (event,) = events
        assert isinstance(event, Proposal)
        return event, paths, target.text


def options(**given: Any) -> ReceiveOptions:
    return ReceiveOptions(code="7-guitar-velvet", **given)


async def test_a_stream_under_its_name(tmp_path: Path) -> None:
    proposal, paths, _ = await received(STREAM, options(output=tmp_path))
    assert (proposal.files, proposal.bytes, proposal.tops) == (1, None, ("x.tar",))
    assert proposal.entries == (Entry(path="x.tar", kind="stream", bytes=None),)
    assert paths == (tmp_path / "x.tar",)
    assert contents(tmp_path) == {"x.tar": CONTENT}


async def test_the_name_of_a_stream_is_made_safe(tmp_path: Path) -> None:
    entry = STREAM._replace(path="a\x1b\u202e")
    proposal, paths, _ = await received(entry, options(output=tmp_path))
    assert proposal.renamed == 1
    assert [path.parent for path in paths] == [tmp_path]
    assert "\x1b" not in paths[0].name


async def test_a_stream_that_becomes_too_long(tmp_path: Path) -> None:
    with pytest.raises(Declined):
        await received(STREAM, options(output=tmp_path, max_size=len(CONTENT) - 1))
    assert listing(tmp_path) == []
    await received(STREAM, options(output=tmp_path, max_size=len(CONTENT)))


async def test_a_stream_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"old")
    with pytest.raises(TargetExists):
        await received(STREAM, options(output=tmp_path))
    proposal, *_ = await received(STREAM, options(output=tmp_path, conflict=Conflict.OVERWRITE))
    assert proposal.existing_paths == ("x.tar",)
    assert contents(tmp_path) == {"x.tar": CONTENT}


async def test_a_text_is_shown_and_stored_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "message.txt").write_bytes(b"another")
    shown, content = Shown(), "grün\x1b\n".encode()
    proposal, paths, text = await received(
        TEXT._replace(size=len(content)), options(show_text=shown), content=content
    )
    assert proposal.entries[0].kind == "text"
    assert proposal.existing == 0
    assert (paths, text, shown.texts) == ((), "grün\x1b\n", ["grün\x1b\n"])
    assert contents(tmp_path) == {"message.txt": b"another"}


async def test_a_text_into_a_file(tmp_path: Path) -> None:
    shown = Shown()
    _, paths, text = await received(TEXT, options(output=tmp_path / "note", show_text=shown))
    assert (paths, text, shown.texts) == ((tmp_path / "note",), None, [])
    _, paths, _ = await received(TEXT, options(output=tmp_path))
    assert paths == (tmp_path / "message.txt",)
    assert set(contents(tmp_path).values()) == {CONTENT}


async def test_a_text_that_the_patterns_do_not_name() -> None:
    with pytest.raises(Declined):
        await received(TEXT, options(accept_glob=("*.tar",)))


async def test_no_to_a_text() -> None:
    offer = Offer(sender="", manifest=one_file(TEXT).manifest)
    questions = FakeQuestions(accept=False, conflict=Conflict.ASK)
    async with Target(options(), questions=questions, emit=lambda _event: None) as target:
        with pytest.raises(Declined, match=r"message\.txt was declined"):
            await target.decide(offer)
