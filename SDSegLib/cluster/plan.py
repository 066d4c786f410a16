"""Which cluster to use: an address, a number of local workers, or a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingPackageError
from ..language import tr
from ..untrusted import shown

PROTOCOLS = ("tcp://", "tls://", "ws://", "wss://")
CLASSES = {
    "SLURMCluster": "dask_jobqueue",
    "PBSCluster": "dask_jobqueue",
    "LSFCluster": "dask_jobqueue",
    "SGECluster": "dask_jobqueue",
    "OARCluster": "dask_jobqueue",
    "MoabCluster": "dask_jobqueue",
    "HTCondorCluster": "dask_jobqueue",
    "LocalCluster": "dask_jobqueue.local",
    "KubeCluster": "dask_kubernetes.operator",
}
_LARGEST_FILE_BYTES = 2**20
_TLS = ("ca", "certificate", "key")
_ENTRIES = ("address", "tls", "class", "arguments", "jobs", "adapt")
_MOST_WORKERS = 256
_OTHER_CLUSTER = re.compile(r"(^|\s)(--clusters?(?=[=\s])|-M)")
"""An option of sbatch; `--cluster-constraint` is another."""


@dataclass(frozen=True)
class ClusterPlan:
    """One of three: `workers` on this computer, a running scheduler, or a cluster to start.

    Attributes:
        workers: Number of worker processes to start on this computer.
        address: Of a running scheduler.
        tls: Paths of "ca", "certificate" and "key" for an address with tls://.
        kind: Name of the class that starts a cluster; one of `CLASSES`.
        arguments: Of that class.
        jobs: Number of jobs (of `KubeCluster`: workers) to ask for.
        adapt: Instead of `jobs`: the least and most of them; the cluster grows and shrinks.
        where: What the user gave, for messages.
    """

    workers: int = 0
    address: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    jobs: int = 0
    adapt: tuple[int, int] | None = None
    where: str = ""


def plan_of(cluster: str | None, workers: int | None) -> ClusterPlan | None:
    """What the options --cluster and --workers ask for; None if neither was given.

    Raises:
        InputError: If both were given, or one is not as it should be.
    """
    if cluster is None and workers is None:
        return None
    if cluster is not None and workers is not None:
        raise InputError(tr("--workers starts workers here and --cluster uses others; give one."))
    if workers is not None:
        if not 1 <= workers <= _MOST_WORKERS:
            raise InputError(
                tr(
                    "--workers {workers} is not possible; give 1 to {most_workers}, or more "
                    "machines with --cluster."
                ).format(workers=workers, most_workers=_MOST_WORKERS)
            )
        return ClusterPlan(workers=workers, where=f"--workers {workers}")
    assert cluster is not None
    if cluster.startswith(PROTOCOLS):
        return ClusterPlan(address=_address(cluster, "--cluster"), where=cluster)
    if cluster.lower().endswith((".yaml", ".yml")):
        return read_plan(Path(cluster))
    raise InputError(
        tr(
            "--cluster {cluster!r} is neither an address like tcp://HOST:8786 nor a file like "
            "slurm.yaml; see docs/how-to/cluster.md."
        ).format(cluster=cluster)
    )


def read_plan(path: Path) -> ClusterPlan:
    """Read the description of a cluster.

    Raises:
        InputError: If it cannot be read, or naming the entry that is wrong and what it may be.
        MissingPackageError: If PyYAML is missing, which comes with Dask.
    """
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingPackageError("distributed", "cluster", tr("A cluster")) from None
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise InputError(
                tr("{path} is too large to describe a cluster; name another file.").format(
                    path=path
                )
            )
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            tr("{path} cannot be opened ({reason}); check the spelling.").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except UnicodeDecodeError:
        raise InputError(
            tr("{path} is no text in UTF-8; write the description anew.").format(path=path)
        ) from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = tr(" in line {line}").format(line=mark.line + 1) if mark else ""
        problem = getattr(error, "problem", None) or tr("it is nested too deeply")
        raise InputError(
            tr("{path} is not valid YAML{line} ({problem}); correct it.").format(
                path=path, line=line, problem=problem
            )
        ) from None
    return _plan(data, path)


def _plan(data: Any, path: Path) -> ClusterPlan:
    entries = _mapping(data, f"{path}", _ENTRIES)
    if ("address" in entries) == ("class" in entries):
        raise InputError(
            tr(
                "{path} must have one of the entries address (of a running scheduler) and class "
                "(one of {classes})."
            ).format(path=path, classes=", ".join(CLASSES))
        )
    if "address" in entries:
        _refuse_others(entries, ("address", "tls"), path, "address")
        tls = {
            name: str(value)
            for name, value in _mapping(
                entries.get("tls", {}), tr("{path}, tls").format(path=path), _TLS
            ).items()
        }
        if tls and set(tls) != set(_TLS):
            raise InputError(
                tr("{path}: tls needs the paths {tls}.").format(path=path, tls=", ".join(_TLS))
            )
        for name, value in tls.items():
            if not Path(value).is_file():
                raise InputError(
                    tr("{path}: tls, {name}: {value} is no file; check the path.").format(
                        path=path, name=name, value=value
                    )
                )
        address = _address(entries["address"], tr("{path}, address").format(path=path))
        if tls and not address.startswith(("tls://", "wss://")):
            raise InputError(
                tr("{path}: with tls the address begins with tls://, not {address!r}.").format(
                    path=path, address=address
                )
            )
        return ClusterPlan(address=address, tls=tls, where=str(path))
    _refuse_others(entries, ("class", "arguments", "jobs", "adapt"), path, "class")
    kind = entries["class"]
    if kind not in CLASSES:
        raise InputError(
            tr("{path}: class {kind} is unknown; choose from {classes}.").format(
                path=path, kind=shown(kind), classes=", ".join(CLASSES)
            )
        )
    arguments = entries.get("arguments") or {}
    if not isinstance(arguments, dict) or not all(isinstance(name, str) for name in arguments):
        raise InputError(tr("{path}: arguments must be lines of NAME: VALUE.").format(path=path))
    if kind == "SLURMCluster":
        _refuse_other_clusters(arguments, path)
    if ("jobs" in entries) == ("adapt" in entries):
        raise InputError(
            tr(
                "{path} must have one of the entries jobs (a number) and adapt (minimum, maximum)."
            ).format(path=path)
        )
    if "jobs" in entries:
        jobs = _number(entries["jobs"], tr("{path}: jobs").format(path=path), 1)
        return ClusterPlan(kind=kind, arguments=arguments, jobs=jobs, where=str(path))
    adapt = _mapping(
        entries["adapt"], tr("{path}, adapt").format(path=path), ("minimum", "maximum")
    )
    least = _number(adapt.get("minimum", 0), tr("{path}: adapt, minimum").format(path=path), 0)
    most = _number(
        adapt.get("maximum"), tr("{path}: adapt, maximum").format(path=path), max(1, least)
    )
    return ClusterPlan(kind=kind, arguments=arguments, adapt=(least, most), where=str(path))


def _refuse_other_clusters(arguments: Mapping[str, Any], path: Path) -> None:
    """Refuse jobs for another cluster of SLURM, which squeue and scancel would not find here."""
    for name in ("job_extra_directives", "job_extra"):
        lines = arguments.get(name)
        for line in lines if isinstance(lines, list) else []:
            if _OTHER_CLUSTER.search(str(line)):
                raise InputError(
                    tr(
                        "{path}: {line} is not possible, as jobs of another cluster can neither be "
                        "watched nor cancelled from here; leave it out, and give the command "
                        "on a computer of that cluster."
                    ).format(path=path, line=shown(line))
                )


def _mapping(data: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InputError(
            tr("{where} must have lines of NAME: VALUE, not {data}.").format(
                where=where, data=shown(data)
            )
        )
    unknown = [name for name in data if name not in known]
    if unknown:
        raise InputError(
            tr("{where}: {value} is unknown; the entries are {known}.").format(
                where=where, value=shown(unknown[0]), known=", ".join(known)
            )
        )
    return data


def _refuse_others(
    entries: Mapping[str, Any], known: tuple[str, ...], path: Path, what: str
) -> None:
    others = [name for name in entries if name not in known]
    if others:
        raise InputError(
            tr("{path}: {other} does not go with {what}; leave one out.").format(
                path=path, other=others[0], what=what
            )
        )


def _address(value: Any, where: str) -> str:
    """An address, checked as far as that is possible without connecting."""
    text = value if isinstance(value, str) else ""
    host, _, port = text.partition("://")[2].rpartition(":")
    is_port = port.rstrip("/").isascii() and port.rstrip("/").isdecimal()
    if not text.startswith(PROTOCOLS) or not host or not is_port or int(port.rstrip("/")) > 65535:
        raise InputError(
            tr(
                "{where} {value} is no address of a scheduler; it looks like tcp://HOST:8786."
            ).format(where=where, value=shown(value))
        )
    return text.rstrip("/")


def _number(value: Any, where: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            tr("{where} must be a whole number from {least}, not {value}.").format(
                where=where, least=least, value=shown(value)
            )
        )
    return value
