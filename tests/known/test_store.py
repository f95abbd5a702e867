"""The keys on the disk: whose they are, who may read them, and what two commands do at once."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from rtcsend.errors import CannotRead, UsageError
from rtcsend.known.door_lock import locked, locked_at_once
from rtcsend.known.private_files import write_new
from rtcsend.known.record import Machine
from rtcsend.known.store import MAX_MACHINES, MAX_REMOVED, Store, data_folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "share" / "rtcsend")


def machine(name: str = "laptop", key: int = 1, secret: int = 1) -> Machine:
    return Machine(name=name, key=bytes([key]) * 32, secret=bytes([secret]) * 32, paired=1_000)


def read_all(store: Store) -> None:
    store.identity()
    store.machines()


def test_the_folder_follows_the_environment(tmp_path: Path) -> None:
    assert data_folder({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "rtcsend"
    home = Path.home() / ".local" / "share" / "rtcsend"
    assert data_folder({}) == data_folder({"XDG_DATA_HOME": "relative"}) == home


def test_the_key_is_made_once(store: Store) -> None:
    key = store.identity()
    again = Store(store.folder).identity()
    assert key.private_bytes_raw() == again.private_bytes_raw()


def test_two_commands_at_once_make_one_key(store: Store) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.identity().private_bytes_raw()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_everything_is_private(store: Store) -> None:
    old = os.umask(0)
    try:
        store.identity()
        store.add(machine())
        store.remove("laptop")
        store.keep_permit("ws://host/v1", "7.x")
        store.lock_path("x")
    finally:
        os.umask(old)
    for path in (store.folder, *store.folder.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize("what", ["", "identity.pem", "machines", "machines/laptop.json"])
def test_what_others_may_read_is_refused(store: Store, what: str) -> None:
    store.identity()
    store.add(machine())
    path = store.folder / what
    path.chmod(path.stat().st_mode | 0o040)
    with pytest.raises(CannotRead, match="open to other users"):
        read_all(store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("what", ["", "identity.pem", "machines/laptop.json"])
def test_what_belongs_to_others_is_refused(store: Store, what: str) -> None:
    store.identity()
    store.add(machine())
    os.chown(store.folder / what, 12345, -1)
    with pytest.raises(CannotRead, match="another user"):
        read_all(store)


def test_links_are_not_followed(store: Store, tmp_path: Path) -> None:
    store.add(machine())
    real = store.folder / "machines" / "laptop.json"
    real.rename(tmp_path / "elsewhere")
    real.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotRead):
        store.machine("laptop")


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 5000, b"\xff"])
def test_damage_is_named(store: Store, data: bytes) -> None:
    store.add(machine())
    store.add(machine("desktop", key=2, secret=2))
    (store.folder / "machines" / "laptop.json").write_bytes(data)
    with pytest.raises(CannotRead, match=r"laptop\.json"):
        store.machine("laptop")
    assert [each.name for each in store.machines()] == ["desktop"]
    assert store.damaged() == ("laptop",)
    store.remove("laptop")
    assert store.damaged() == ()
    store.add(machine())


def test_a_key_that_is_none_is_named(store: Store) -> None:
    store.identity()
    (store.folder / "identity.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(CannotRead, match="no key"):
        store.identity()


def test_without_a_folder_nothing_is_known(store: Store) -> None:
    assert store.machines() == store.removed() == ()
    with pytest.raises(UsageError, match="no known machine"):
        store.machine("laptop")
    assert not store.folder.exists()


def test_a_machine_is_kept(store: Store) -> None:
    store.add(machine())
    assert store.machines() == (machine(),)
    assert store.machine("laptop") == machine()
    assert store.is_current(machine())


def test_a_name_is_taken_once(store: Store) -> None:
    store.add(machine())
    with pytest.raises(UsageError, match="already"):
        store.check_free("laptop")
    with pytest.raises(UsageError, match="already"):
        store.add(machine(key=2))
    assert store.machine("laptop") == machine()


def test_a_machine_that_is_replaced_is_remembered(store: Store) -> None:
    store.add(machine())
    store.add(machine(key=2, secret=2), may_replace=True)
    assert [each.key[0] for each in store.machines()] == [2]
    assert [each.key[0] for each in store.removed()] == [1]
    assert not store.is_current(machine())


def test_the_same_machine_under_another_name_needs_replace(store: Store) -> None:
    store.add(machine())
    with pytest.raises(UsageError, match="laptop"):
        store.add(machine("notebook", secret=2))
    store.add(machine("notebook", secret=2), may_replace=True)
    assert [each.name for each in store.machines()] == ["notebook"]


def test_a_machine_is_removed_and_remembered(store: Store) -> None:
    store.add(machine())
    store.remove("laptop")
    assert store.machines() == ()
    (gone,) = store.removed()
    assert gone.removed is not None
    assert store.is_current(gone)
    with pytest.raises(UsageError, match="was removed"):
        store.machine("laptop")


def test_the_oldest_of_the_removed_are_forgotten(store: Store) -> None:
    for number in range(MAX_REMOVED + 3):
        store.add(machine(f"m{number}", key=number, secret=number))
        store.remove(f"m{number}")
    assert len(store.removed()) == MAX_REMOVED
    assert len(list((store.folder / "removed").iterdir())) == MAX_REMOVED


def test_there_is_a_bound(store: Store) -> None:
    for number in range(MAX_MACHINES):
        store.add(machine(f"m{number}", key=number, secret=number))
    with pytest.raises(UsageError, match="no more"):
        store.check_free("one-more")


def test_a_machine_is_renamed(store: Store) -> None:
    store.add(machine())
    store.add(machine("desktop", key=2, secret=2))
    with pytest.raises(UsageError, match="already"):
        store.rename("laptop", "desktop")
    with pytest.raises(UsageError, match="no name"):
        store.rename("laptop", "a b")
    store.rename("laptop", "notebook")
    assert [each.name for each in store.machines()] == ["desktop", "notebook"]


def test_use_is_remembered_and_brings_nothing_back(store: Store) -> None:
    store.add(machine())
    assert store.machine("laptop").used is None
    store.note_use(machine())
    used = store.machine("laptop").used
    assert used is not None
    assert store.rename("laptop", "desktop").used == used
    assert store.machine("desktop").used == used
    store.remove("desktop")
    store.note_use(machine("desktop"))
    assert store.machines() == ()


def test_what_was_added_can_be_taken_back(store: Store) -> None:
    store.add(machine())
    store.forget(machine(secret=9))  # another one of that name
    assert store.machines()
    store.forget(machine())
    assert store.machines() == store.removed() == ()


def test_a_near_name_is_suggested(store: Store) -> None:
    store.add(machine())
    with pytest.raises(UsageError) as caught:
        store.machine("labtop")
    assert "laptop" in caught.value.hint


def test_permits_are_kept_for_each_server(store: Store) -> None:
    assert store.permit("ws://a/v1") is None
    store.keep_permit("ws://a/v1", "7.one")
    store.keep_permit("ws://a/v1", None)
    store.keep_permit("ws://b/v1", "7.two")
    assert (store.permit("ws://a/v1"), store.permit("ws://b/v1")) == ("7.one", "7.two")


def test_a_stamp_tells_of_changes(store: Store) -> None:
    before = store.stamp()
    store.add(machine())
    assert store.stamp() != before


def test_a_file_is_new_once(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert write_new(path, b"1")
    assert not write_new(path, b"2")
    assert path.read_bytes() == b"1"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


def test_one_at_a_door_at_a_time(store: Store) -> None:
    path = store.lock_path("x")
    order = []

    async def second() -> None:
        async with locked(path):
            order.append("second")

    async def main() -> None:
        async with locked(path), locked_at_once(path) as is_free:
            assert not is_free
            task = asyncio.create_task(second())
            await asyncio.sleep(0)
            order.append("first")
        await task
        async with locked_at_once(path) as is_free:
            assert is_free

    asyncio.run(main())
    assert order == ["first", "second"]
