"""A SLURM of its own for the tests: a node or several, all of them this machine, and a queue.

Nothing of an installed SLURM is touched: key, configuration, sockets, ports and folders are the
test's own. Its daemons need the rights of root, as everywhere.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from process_parts import answer_of

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
_START_SECONDS = 60.0
# Processors, memory and GPUs are those that jobs ask for, not those of this machine.
_CONFIGURATION = """
    ClusterName=sdseg
    SlurmctldHost={host}(127.0.0.1)
    SlurmUser=root
    SlurmdUser=root
    AuthType=auth/munge
    AuthInfo=socket={folder}/munge.socket
    CryptoType=crypto/munge
    SlurmctldPort={controller_port}
    StateSaveLocation={folder}/state
    SlurmdSpoolDir={folder}/spool-%n
    SlurmctldPidFile={folder}/slurmctld.pid
    SlurmdPidFile={folder}/slurmd-%n.pid
    SlurmdTimeout=20
    SlurmctldLogFile={folder}/slurmctld.log
    SlurmdLogFile={folder}/slurmd-%n.log
    ProctrackType=proctrack/linuxproc
    TaskPlugin=task/none
    JobAcctGatherType=jobacct_gather/none
    SwitchType=switch/none
    MpiDefault=none
    SelectType=select/cons_tres
    SelectTypeParameters=CR_Core_Memory
    SlurmdParameters=config_overrides
    SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=1
    ReturnToService=2
    KillWait=2
    MailProg=/bin/true
    GresTypes=gpu
    NodeName=DEFAULT CPUs=32 RealMemory=131072 Gres=gpu:4
    PartitionName=gpu Nodes=ALL Default=YES MaxTime=24:00:00 State=UP
    PartitionName=down Nodes=ALL MaxTime=60 State=DOWN
"""


def why_no_slurm() -> str:
    """What is missing to start a SLURM here, or ""."""
    if os.name != "posix" or os.geteuid() != 0:
        return "needs the rights of root to start SLURM"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"needs {missing[0]}: apt-get install slurmctld slurmd slurm-client munge"
    return ""


@dataclass(frozen=True)
class Slurm:
    """A running SLURM.

    Attributes:
        folder: Of its files, logs among them.
        environment: With which its commands, and those that submit jobs, are started.
        nodes: The daemon of each node, by its name.
    """

    folder: Path
    environment: dict[str, str]
    nodes: dict[str, subprocess.Popen[bytes]]

    def ask(self, *command: object) -> str:
        """What a command of SLURM prints."""
        done = answer_of(self.environment, command)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def kill_node(self, name: str) -> None:
        """End its daemon and all processes of its jobs at once, as a power cut does."""
        self.nodes[name].kill()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("SLURMD_NODENAME") == name:
                    process.kill()

    def jobs(self, states: str = "PENDING,RUNNING,COMPLETING") -> dict[str, str]:
        """The states of the jobs by their numbers."""
        lines = self.ask("squeue", "--noheader", "--states", states, "--format", "%i %T")
        return dict(line.split() for line in lines.splitlines())


@contextmanager
def a_slurm(folder: Path, nodes: Sequence[str] = ()) -> Iterator[Slurm]:
    """A running SLURM with these nodes, or one of this machine's name.

    It and all its jobs end with the block. The folder's path must be short, as sockets lie in it,
    whose paths have at most 108 bytes.
    """
    host = socket.gethostname().partition(".")[0]
    nodes = nodes or (host,)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("state", *(f"spool-{node}" for node in nodes)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    controller_port, *ports = free_ports(1 + len(nodes))
    configuration = folder / "slurm.conf"
    lines = "\n".join(line.strip() for line in _CONFIGURATION.strip().splitlines()).format(
        folder=folder, host=host, controller_port=controller_port
    )
    machines = "".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} State=UNKNOWN\n"
        for name, port in zip(nodes, ports, strict=True)
    )
    configuration.write_text(
        lines.replace("PartitionName", f"{machines}PartitionName", 1) + "\n", encoding="utf-8"
    )
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n", encoding="utf-8")
    devices = "\n".join(f"Name=gpu File=/dev/{name}" for name in ("null", "zero", "full", "random"))
    (folder / "gres.conf").write_text(f"{devices}\n", encoding="utf-8")  # any device will do
    slurm = Slurm(folder, {"SLURM_CONF": str(configuration)}, {})
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        daemons.append(
            _start(
                slurm,
                *("munged", "--foreground", "--force", f"--socket={folder}/munge.socket"),
                *(f"--key-file={key}", f"--pid-file={folder}/munged.pid"),
                *(f"--log-file={folder}/munged.log", f"--seed-file={folder}/munged.seed"),
            )
        )
        _wait_for(daemons, slurm, lambda: (folder / "munge.socket").exists())
        daemons.append(_start(slurm, "slurmctld", "-D", "-f", str(configuration)))
        for name in nodes:
            slurm.nodes[name] = _start(slurm, "slurmd", "-D", "-f", str(configuration), "-N", name)
        daemons.extend(slurm.nodes.values())
        _wait_for(daemons, slurm, lambda: _is_idle(slurm))
        yield slurm
    finally:
        if slurm.nodes and daemons[1].poll() is None:
            _end_jobs(slurm)
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _start(slurm: Slurm, *command: str) -> subprocess.Popen[bytes]:
    with (slurm.folder / f"{command[0]}.out").open("ab") as out:
        return subprocess.Popen(
            command,
            env={**os.environ, **slurm.environment},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def _wait_for(
    daemons: list[subprocess.Popen[bytes]], slurm: Slurm, is_there: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_there():
        for daemon in daemons:
            assert daemon.poll() is None, _logs(slurm.folder)
        assert time.monotonic() < deadline, _logs(slurm.folder)
        time.sleep(0.05)


def _is_idle(slurm: Slurm) -> bool:
    done = subprocess.run(
        ["sinfo", "--noheader", "--partition", "gpu", "--format", "%T"],
        env={**os.environ, **slurm.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() == "idle"


def _end_jobs(slurm: Slurm) -> None:
    """Their processes belong to daemons of their own, which a killed SLURM would leave."""
    deadline = time.monotonic() + 20
    while slurm.jobs() and time.monotonic() < deadline:
        for number in slurm.jobs("PENDING,RUNNING"):
            slurm.ask("scancel", "--quiet", number)
        time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    """Ports of this computer that nobody listens at."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _logs(folder: Path) -> str:
    names = [*sorted(folder.glob("*.out")), *sorted(folder.glob("*.log"))]
    return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in names)
