"""The way into the page: a token that works once, and that no process list and no log shows."""

from __future__ import annotations

import http.client
import os
import pty
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from process_parts import child_environment, start_sdseg
from web_parts import MILLISECONDS, wait_for, write_models

pytest.importorskip("trame_slicer", reason="needs the extra web")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs a terminal")


class Terminal:
    """`sdseg view` in a terminal of its own, with a browser that only notes what it is given."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.opened = folder / "opened"
        browser = folder / "browser"
        browser.write_text(
            f"#!{sys.executable}\nimport pathlib, sys, time\n"
            f"pathlib.Path({str(self.opened)!r}).write_text(sys.argv[1])\ntime.sleep(30)\n"
        )
        browser.chmod(0o755)
        environment = {
            "SDSEG_MODELS": str(write_models(folder / "models")),
            "TMPDIR": str(self.temporary),
            "BROWSER": f"{browser} %s &",
        }
        self._master, slave = pty.openpty()
        self.process = start_sdseg(
            *("--verbose", "view", "--model", "tiny", *arguments),
            environment=environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self._said = ""

    def said(self) -> str:
        """All that the terminal shows."""
        try:
            while part := os.read(self._master, 65536):
                self._said += part.decode(errors="replace")
        except OSError:
            pass
        return self._said

    def addresses(self) -> list[str]:
        return re.findall(r"http://\S+token=\S+", self.said())

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        os.close(self._master)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path)
    yield found
    found.end()


def status_of(address: str) -> int:
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"/{path}")
    status = connection.getresponse().status
    connection.close()
    return status


def command_lines() -> str:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(found)


def test_the_browser_gets_a_private_file_in_place_of_the_token(
    terminal: Terminal, browser: Any
) -> None:
    given = wait_for(lambda: terminal.opened.is_file() and terminal.opened.read_text())
    (address,) = terminal.addresses()
    token = address.partition("token=")[2]
    assert given.startswith("file://")
    assert token not in command_lines()
    path = Path(given.removeprefix("file://"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with closing(browser.new_context()) as context:
        context.set_default_timeout(MILLISECONDS)
        page = context.new_page()
        page.goto(given)
        page.wait_for_selector("#tab-segment")
        assert page.url == address.partition("?")[0]
        assert token not in page.content()
        page.reload()
        page.wait_for_selector("#tab-segment")
    assert not path.exists()  # it has done its work
    assert status_of(address) == 403
    assert token not in terminal.said().replace(address, "")


def test_enter_makes_an_address_for_another_browser(terminal: Terminal) -> None:
    (first,) = wait_for(terminal.addresses)
    terminal.type("\n")
    wait_for(lambda: len(terminal.addresses()) == 2)
    second = terminal.addresses()[1]
    assert status_of(first) == 403
    assert status_of(second) == 303
    assert status_of(second) == 403
    assert "Traceback" not in terminal.said()


def test_verbose_logs_name_neither_the_token_nor_the_files_sent(terminal: Terminal) -> None:
    (address,) = wait_for(terminal.addresses)
    host, _, path = address.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=30)
    connection.request("GET", f"/{path}")
    answer = connection.getresponse()
    answer.read()
    cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
    connection.request("POST", "/upload", headers=cookie)
    number = re.search(rb"\d+", connection.getresponse().read())
    assert number is not None
    sent = f"/upload/{int(number[0])}?name=DOE%5EJANE.nii"
    connection.request("PUT", sent, b"text", headers=cookie)
    assert connection.getresponse().status == 200
    connection.close()
    said = terminal.said()
    assert "JANE" not in said
    assert cookie["Cookie"].partition("=")[2] not in said
    assert said.count(address.partition("token=")[2]) == 1


def test_in_the_background_the_terminal_belongs_to_the_shell(tmp_path: Path) -> None:
    """Without a terminal there is nothing to press, and the page is served all the same."""
    environment = {
        "SDSEG_MODELS": str(write_models(tmp_path / "models")),
        "TMPDIR": str(tmp_path),
    }
    process = start_sdseg(
        *("view", "--no-browser", "--model", "tiny"),
        environment=child_environment(environment),
        stdin=open(os.devnull),  # noqa: SIM115
    )
    assert process.stdout is not None
    address = process.stdout.readline().rpartition(" ")[2].strip()
    assert status_of(address) == 303
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
