import base64
from pathlib import Path

import pytest
import segno

from rtcsend.cli.code_sharing import clipboard_sequence, code_url, qr_lines
from rtcsend.cli.main import main
from tests.cli import fake_engine
from tests.cli.conftest import Play
from tests.cli.pty_process import PtyProcess

CODE = "7-guitar-velvet"


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("wss://rendezvous.example", f"https://rendezvous.example/#{CODE}"),
        ("wss://rendezvous.example/v1", f"https://rendezvous.example/#{CODE}"),
        ("wss://host.example/rtc/v1", f"https://host.example/rtc/#{CODE}"),
        ("ws://192.168.1.7:40123/v1", f"http://192.168.1.7:40123/#{CODE}"),
        ("192.168.1.7", f"http://192.168.1.7:8765/#{CODE}"),
        (f"wss://host.example#sha256={'ab' * 32}", f"https://host.example/#{CODE}"),
        ("ws://[fe80::1]:9/v1", f"http://[fe80::1]:9/#{CODE}"),
    ],
)
def test_url(server: str, url: str) -> None:
    assert code_url(CODE, server) == url


def test_qr_is_square_has_its_quiet_zone_and_fits_a_screen() -> None:
    lines = qr_lines(code_url("1234-" + "-".join(["absolute"] * 2), "wss://rendezvous.example"))
    assert len({len(line) for line in lines}) == 1
    assert len(lines) * 2 - len(lines[0]) in (0, 1)
    assert len(lines) <= 20
    assert set(lines[0]) == {"█"}
    assert all(line.startswith("██") and line.endswith("██") for line in lines)


def test_what_is_drawn_is_the_code() -> None:
    url = f"https://rendezvous.example/#{CODE}"
    dark = {"█": (0, 0), "▀": (0, 1), "▄": (1, 0), " ": (1, 1)}
    rows = []
    for line in qr_lines(url):
        pairs = [dark[char] for char in line[2:-2]]
        rows += [[upper for upper, _ in pairs], [lower for _, lower in pairs]]
    code = segno.make(url, error="l", micro=False, boost_error=False)
    size = len(code.matrix)
    assert rows[2 : 2 + size] == [list(row) for row in code.matrix]
    assert not any(map(any, rows[:2] + rows[2 + size :]))


def test_on_a_terminal(film: Path) -> None:
    command = fake_engine.command(fake_engine.success, "send", "--qr", "--copy", film)
    with PtyProcess(command) as process:
        assert process.wait() == 0
        encoded = base64.b64encode(CODE.encode()).decode()
        assert f"\x1b]52;c;{encoded}\x07" in process.output
        for line in qr_lines(f"http://192.168.1.7:40123/#{CODE}"):
            assert line in process.output


def test_clipboard_sequence_holds_nothing_but_the_code() -> None:
    sequence = clipboard_sequence(CODE)
    assert sequence.startswith("\x1b]52;c;")
    assert sequence.endswith("\x07")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--copy"], "There is no terminal whose clipboard could take the code."),
        (["--qr", "--json"], "--qr is for people"),
        (["--qr", "-q"], "--qr is for people"),
    ],
)
def test_refused(
    options: list[str], message: str, film: Path, play: Play, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = play(fake_engine.success)
    assert main(["send", *options, str(film)]) == 2
    assert message in capfd.readouterr().err
    assert not engine.options


def test_qr_in_a_log(film: Path, play: Play, capfd: pytest.CaptureFixture[str]) -> None:
    play(fake_engine.success)
    assert main(["send", "--qr", str(film)]) == 0
    out, err = capfd.readouterr()
    assert out == f"{CODE}\n"
    assert qr_lines(f"http://192.168.1.7:40123/#{CODE}")[3] in err
