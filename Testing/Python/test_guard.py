"""Files of unknown origin are read in a child process: what ends it is a sentence, and no more."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worker_parts import customized, is_running, posix_only, wait_until

from SDSegLib.errors import InputError, MissingPackageError, SDSegError
from SDSegLib.processes import guard
from SDSegLib.processes.child_process import LIBRARY_FOLDER
from SDSegLib.processes.guard import UnforeseenError, call_guarded

HERE = Path(__file__).parent
pytestmark = posix_only
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")


@pytest.fixture(autouse=True)
def own_children(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Children that can import the tests' functions, and none left afterwards."""
    guard.end_children()
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    yield
    guard.end_children()
    if sys.platform == "linux":
        assert not [name for name in os.listdir("/dev/shm") if f"sdseg-{os.getpid()}-" in name]


def call(name: str, source: Path, **parameters: Any) -> guard.Answer:
    return call_guarded(f"guarded_calls:{name}", source, **parameters)


def pid(source: Path) -> int:
    found: int = call("process", source).values["pid"]
    return found


def short_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each file a second."""
    code = (
        f"import sys; sys.path.insert(0, {str(LIBRARY_FOLDER)!r})\n"
        "import SDSegLib.processes.limits as limits; limits.SECONDS = 1.0"
    )
    path = customized(folder / "custom", code)["PYTHONPATH"]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((path, str(HERE))))


def test_one_child_reads_all_files(tmp_path: Path) -> None:
    first = pid(tmp_path)
    assert first != os.getpid()
    assert [pid(tmp_path) for _ in range(3)] == [first] * 3
    assert call("process", Path("relative/ß")).values["source"] == "relative/ß"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGFPE, signal.SIGBUS, signal.SIGABRT])
def test_a_crash_is_a_sentence_about_the_file(number: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "ct.nrrd"
    with pytest.raises(InputError) as caught:
        call("crash", file, number=int(number))
    assert str(caught.value).startswith(f"{file}: The process that read it ended unexpectedly (")
    assert number.name in str(caught.value)
    assert "Fetch or export it again." in str(caught.value)
    assert pid(tmp_path)


def test_what_another_process_kills_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="killed from outside; systems do that when memory runs"):
        call("crash", tmp_path, number=int(signal.SIGKILL))


def test_a_crash_in_a_folder_names_the_file(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm", "c.dcm"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"b\.dcm: The process that read it ended unexpectedly"):
        call("crash_at", tmp_path, file_name="b.dcm")


def test_a_file_does_not_pay_for_an_earlier_one(tmp_path: Path) -> None:
    first = pid(tmp_path)
    call("poison", tmp_path)
    assert call("need_health", tmp_path).values not in (first, os.getpid())


def test_a_hang_ends_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short_limits(tmp_path, monkeypatch)
    child = pid(tmp_path)
    started = time.monotonic()
    with pytest.raises(InputError, match=r"ct\.nii: It was not read within 1 s"):
        call("hang", tmp_path / "ct.nii")
    assert time.monotonic() - started < 8
    assert not is_running(child)


def test_a_stopped_child_ends_after_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_limits(tmp_path, monkeypatch)
    monkeypatch.setattr(guard, "_GRACE_SECONDS", 1.0)
    with pytest.raises(InputError, match="It was not read within 1 s"):
        call("crash", tmp_path, number=int(signal.SIGSTOP))


def test_time_counts_for_each_file_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_limits(tmp_path, monkeypatch)
    folder = tmp_path / "series"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.dcm").touch()
    call("slow", folder)


@linux_only
def test_memory_beyond_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ct\.nii: Memory ran out while it was read"):
        call("take", tmp_path / "ct.nii", gigabytes=2.5, expected=False)
    assert call("take", tmp_path, gigabytes=1.5, expected=False).values
    assert call("take", tmp_path, gigabytes=2.5, expected=True).values


@linux_only
@pytest.mark.parametrize("megabytes_left", [2, 10, 18, 30, 60, 80])
def test_a_small_address_space_is_a_sentence(tmp_path: Path, megabytes_left: int) -> None:
    """First a thread cannot be started here, then NumPy cannot be imported in the child."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from SDSegLib.errors import SDSegError\n"
        "from SDSegLib.processes.guard import call_guarded\n"
        "pages = int(Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try: call_guarded('guarded_calls:process', Path('ct.nii'))\n"
        "except SDSegError as error: print(error)\n"
        "else: print('It was enough.')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(LIBRARY_FOLDER), str(HERE)))}
    ended = subprocess.run(
        [sys.executable, "-c", code, str(megabytes_left)],
        env=environment,
        capture_output=True,
        text=True,
    )
    beginnings = ("ct.nii", "The process that reads files cannot be started", "It was enough.")
    assert ended.stdout.startswith(beginnings), ended
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.unforeseen
def test_an_unforeseen_error_names_the_file_but_nothing_of_its_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "ct.dcm"
    with caplog.at_level(logging.INFO), pytest.raises(UnforeseenError) as caught:
        call("fail", file, text="born 1970-01-01")
    assert str(caught.value).startswith(f"{file}: It cannot be read (ZeroDivisionError)")
    assert "guarded_calls.py" in caplog.text, "the log tells where"
    assert "1970" not in caplog.text + str(caught.value)


def test_the_library_s_errors_keep_kind_and_text(tmp_path: Path) -> None:
    with pytest.raises(MissingPackageError) as caught:
        call("lack_package", tmp_path)
    assert str(caught.value) == str(MissingPackageError("highdicom", "dicom", "This file"))


def test_what_libraries_print_reaches_nobody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        call("print_names", tmp_path)
        pid(tmp_path)
    assert "PATIENT" not in caplog.text + "".join(capfd.readouterr())


def test_arrays_arrive_whole_and_outlive_the_child(tmp_path: Path) -> None:
    answer = call("arrays", tmp_path)
    guard.end_children()
    assert wait_until(lambda: not is_running(answer.values))
    np.testing.assert_array_equal(answer.arrays["lying"], np.arange(24).reshape(2, 3, 4))
    np.testing.assert_array_equal(answer.arrays["turned"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(answer.arrays["flags"], [True, False])
    assert answer.arrays["empty"].shape == (0, 3)
    assert [array.dtype.name for array in answer.arrays.values()] == [
        "float32", "int16", "bool", "uint8",
    ]  # fmt: skip
    answer.arrays["lying"][0] = 7
    assert answer.arrays["lying"][0].min() == 7


@linux_only
def test_large_arrays_are_not_copied_and_need_no_room_in_dev_shm(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before, files = resident(), len(os.listdir("/proc/self/fd"))
    answer = call("large", tmp_path, megabytes=400)
    assert resident() - before < 50 * 2**20, "not yet touched, so not yet there"
    assert not [name for name in os.listdir("/dev/shm") if "sdseg-" in name and "worker" in name]
    assert answer.arrays["array"][399, 0] == 1
    del answer
    call("process", tmp_path)
    assert len(os.listdir("/proc/self/fd")) <= files + 8, "three pipes and the status"


def test_threads_share_few_children(tmp_path: Path) -> None:
    found: set[int] = set()
    threads = [threading.Thread(target=lambda: found.add(pid(tmp_path))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(found) <= 4
    guard.end_children()
    assert wait_until(lambda: not any(is_running(child) for child in found))


def test_an_interrupted_call_leaves_no_child(tmp_path: Path) -> None:
    child = pid(tmp_path)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call("hang", tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    timer.join()
    assert wait_until(lambda: not is_running(child))


def test_the_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from SDSegLib.processes.guard import call_guarded\n"
        "print(call_guarded('guarded_calls:process', Path('x')).values['pid'], flush=True)\n"
        "call_guarded('guarded_calls:hang', Path('x'))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(LIBRARY_FOLDER), str(HERE)))}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.kill()
    assert wait_until(lambda: not is_running(child))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_has_children_of_its_own(tmp_path: Path) -> None:
    child = pid(tmp_path)
    forked = os.fork()
    if forked == 0:
        os._exit(0 if pid(tmp_path) not in (child, os.getpid()) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
    assert pid(tmp_path) == child


def test_no_interpreter_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "default_python", lambda: "")
    with pytest.raises(SDSegError, match="process that reads files cannot be started"):
        pid(tmp_path)
