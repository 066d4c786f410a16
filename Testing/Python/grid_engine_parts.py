"""A Grid Engine of its own for the tests: one machine, which is this one, and two queues.

Nothing of an installed Grid Engine is touched: configuration, ports and folders are the test's own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from process_parts import answer_of
from slurm_parts import free_ports

_INSTALLED = Path("/usr/lib/gridengine")
_SHARED = Path("/usr/share/gridengine")
_START_SECONDS = 60.0
_BOOTSTRAP = """
    admin_user none
    default_domain none
    ignore_fqdn true
    spooling_method classic
    spooling_lib libspoolc
    spooling_params {common};{spool}/qmaster
    binary_path /usr/sbin
    qmaster_spool_dir {spool}/qmaster
    security_mode none
    listener_threads 2
    worker_threads 2
    scheduler_threads 1
"""
_MACHINE = """
    hostname {host}
    load_scaling NONE
    complex_values NONE
    user_lists NONE
    xuser_lists NONE
    projects NONE
    xprojects NONE
    usage_scaling NONE
    report_variables NONE
"""
_PARALLEL = """
    pe_name smp
    slots 999
    user_lists NONE
    xuser_lists NONE
    start_proc_args NONE
    stop_proc_args NONE
    allocation_rule $pe_slots
    control_slaves FALSE
    job_is_first_task TRUE
    urgency_slots min
    accounting_summary FALSE
    qsort_args NONE
"""


def why_no_grid_engine() -> str:
    """What is missing to start a Grid Engine here, or ""."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs the rights of root to start Grid Engine"
    missing = [name for name in ("sge_qmaster", "sge_execd", "qsub") if shutil.which(name) is None]
    if missing or not _INSTALLED.is_dir():
        return "needs Debian's gridengine-master gridengine-exec gridengine-client"
    return ""


@dataclass(frozen=True)
class GridEngine:
    """A running Grid Engine, with the queues `gpu.q` and, disabled, `down.q`.

    Attributes:
        folder: Of its files.
        environment: With which its commands, and those that submit jobs, are started.
    """

    folder: Path
    environment: dict[str, str]

    def ask(self, *command: object) -> str:
        """What a command of Grid Engine prints; it may fail."""
        done = answer_of(self.environment, command)
        return done.stdout + done.stderr

    def jobs(self) -> dict[str, str]:
        """The states of the jobs by their numbers."""
        lines = self.ask("qstat", "-u", "*").splitlines()[2:]
        return {line.split()[0]: line.split()[4] for line in lines}

    def jobs_that_stay(self) -> dict[str, str]:
        """The same once the jobs that were deleted are gone, some seconds later."""
        deadline = time.monotonic() + 60
        while (left := self.jobs()) and set(left.values()) <= {"dr"}:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return left


@contextmanager
def a_grid_engine(folder: Path) -> Iterator[GridEngine]:
    """A running Grid Engine; it and all its jobs end with the block."""
    common, spool = folder / "default" / "common", folder / "spool"
    for path in (common, spool / "qmaster" / "job_scripts", spool / "execd"):
        path.mkdir(parents=True)
    (folder / "util").symlink_to(_SHARED / "util")
    master, machine = free_ports(2)
    environment = {
        "SGE_ROOT": str(folder),
        "SGE_CELL": "default",
        "SGE_QMASTER_PORT": str(master),
        "SGE_EXECD_PORT": str(machine),
        "SGE_ND": "1",  # daemons stay in the foreground
    }
    engine = GridEngine(folder, environment)
    host = socket.gethostname().partition(".")[0]
    _write(common / "bootstrap", _BOOTSTRAP.format(common=common, spool=spool))
    _write(common / "act_qmaster", host)
    _write(common / "host_aliases", f"{host} localhost {socket.getfqdn()}")
    settings = {
        "execd_spool_dir": spool / "execd",
        "mailer": "/bin/true",
        "min_uid": 0,
        "min_gid": 0,
        "load_report_time": "00:00:01",
        "reporting_params": "accounting=true reporting=false flush_time=00:00:01",
    }
    _write(folder / "settings", _changed((_SHARED / "default-configuration").read_text(), settings))
    resources = _SHARED / "util" / "resources"
    for command in (
        ("spoolinit", "classic", "libspoolc", f"{common};{spool}/qmaster", "init"),
        ("spooldefaults", "configuration", folder / "settings"),
        ("spooldefaults", "complexes", resources / "centry"),
        ("spooldefaults", "usersets", resources / "usersets"),
        ("spooldefaults", "managers", "root"),
    ):
        engine.ask(_INSTALLED / command[0], *command[1:])
    daemons = [_start(engine, "sge_qmaster")]
    try:
        _wait_for(engine, lambda: host in engine.ask("qconf", "-sh"))
        engine.ask("qconf", "-as", host)
        _configure(engine, "-Ae", _MACHINE.format(host=host))
        _configure(engine, "-Ap", _PARALLEL)
        schedule = {"schedule_interval": "0:0:1", "flush_submit_sec": 1, "flush_finish_sec": 1}
        _configure(engine, "-Msconf", _changed(engine.ask("qconf", "-ssconf"), schedule))
        daemons.append(_start(engine, "sge_execd"))
        for queue in ("gpu.q", "down.q"):
            its = {
                "qname": queue,
                "hostlist": host,
                "load_thresholds": "NONE",
                "slots": 32,
                "pe_list": "smp",
                "h_rt": "24:0:0",
                "priority": os.nice(0),
                "initial_state": "disabled" if queue == "down.q" else "default",
            }
            _configure(engine, "-Aq", _changed(engine.ask("qconf", "-sq"), its))
        _wait_for(engine, lambda: "lx-" in engine.ask("qhost", "-h", host))
        yield engine
    finally:
        _end_jobs(engine)
        for daemon in reversed(daemons):
            daemon.kill()  # what they would save is in the test's folder
            daemon.wait()


def _start(engine: GridEngine, name: str) -> subprocess.Popen[bytes]:
    with (engine.folder / f"{name}.out").open("wb") as out:
        return subprocess.Popen(
            [_INSTALLED / name],
            env={**os.environ, **engine.environment},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _configure(engine: GridEngine, option: str, text: str) -> None:
    _write(engine.folder / "part", text)
    engine.ask("qconf", option, engine.folder / "part")


def _changed(text: str, values: Mapping[str, object]) -> str:
    """A description with other values; each line is a name and its value."""
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return "\n".join(f"{name} {values.get(name, ''.join(rest))}" for name, *rest in lines)


def _write(path: Path, text: str) -> None:
    lines = (line.strip() for line in text.strip().splitlines())
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _wait_for(engine: GridEngine, is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_there():
        said = [path.read_text()[-1500:] for path in engine.folder.glob("*.out")]
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


def _end_jobs(engine: GridEngine) -> None:
    deadline = time.monotonic() + 20
    while engine.jobs() and time.monotonic() < deadline:
        engine.ask("qdel", "-u", "*")
        time.sleep(0.2)
