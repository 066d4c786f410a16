"""Start the workers of a plan, or connect to those that are there."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import InputError, MissingPackageError, SDSegError
from ..language import tr
from .jobs import Jobs
from .on_worker import MOST_AT_A_TIME
from .plan import CLASSES, ClusterPlan

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
_REPLY_SECONDS = 30.0
_LOOPBACK = "127.0.0.1"
_FEW_MINUTES = 120.0


@dataclass(frozen=True)
class Connection:
    """A client of a running scheduler.

    Attributes:
        client: Dask's client.
        dashboard: Address of Dask's dashboard, or "".
        threads: Of the processor for each worker, or 0 for its share of its machine.
        patience: As in `Job`.
        note: A sentence for the user, or "".
        jobs: Those of a batch system, which somebody has to watch.
        asked_for: Number of workers that were asked for, if they come one by one, or 0.
        newcomers: For how many seconds others are waited for if no worker can be used.
    """

    client: Client
    dashboard: str
    threads: int = 0
    patience: float | None = None
    note: str = ""
    jobs: Jobs | None = None
    asked_for: int = 0
    newcomers: float = 0.0

    def hope(self, workers: int, seconds: float) -> str:
        """Whether other workers may still come; see `Dispatcher`."""
        if self.jobs is not None:
            return self.jobs.hope()
        if workers < self.asked_for:
            return tr(
                "No worker can be used so far; the run waits for others, {missing} of which are "
                "still to come. Ctrl+C ends it."
            ).format(missing=self.asked_for - workers)
        if seconds < self.newcomers:
            return tr(
                "No worker can be used so far; others are waited for, for {seconds:.0f} s. Ctrl+C "
                "ends the run."
            ).format(seconds=self.newcomers)
        return ""


@contextmanager
def connected(plan: ClusterPlan, device: str = "auto") -> Iterator[Connection]:
    """Start what the plan asks for, and end it afterwards; a running scheduler stays.

    Args:
        plan: The cluster.
        device: Wanted one; local workers share the GPUs if there are any.

    Raises:
        MissingPackageError: If a package is missing that the plan needs.
        InputError: If the cluster cannot be started or reached, with the reason.
    """
    _require("distributed", tr("A cluster"))
    import distributed

    _silence()
    with _cluster(plan, device) as (address_or_cluster, threads, jobs):
        try:
            client = distributed.Client(
                address_or_cluster,
                timeout=_REPLY_SECONDS,
                security=_security(plan),
                set_as_default=False,
            )
        except (OSError, ValueError, ImportError) as error:
            raise InputError(
                tr(
                    "No Dask scheduler answers at {address} ({error}); check the address, "
                    "whether it needs tls://, and that dask has the version of this computer "
                    "there ({version})."
                ).format(
                    address=plan.address or plan.where,
                    error=_text(error),
                    version=distributed.__version__,
                )
            ) from error
        try:
            yield Connection(
                client,
                client.dashboard_link if plan.address or find_spec("bokeh") else "",
                threads,
                None if plan.kind else _FEW_MINUTES,
                _different_scheduler(client),
                jobs,
                _asked_for(plan),
                _FEW_MINUTES if plan.address else 0.0,
            )
        finally:
            client.close(timeout=_REPLY_SECONDS)


def _asked_for(plan: ClusterPlan) -> int:
    if plan.kind != "KubeCluster":
        return 0
    return plan.jobs if plan.adapt is None else plan.adapt[0]


def _silence() -> None:
    """Lines of Dask about lost connections, which the user reads in our words."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "Port [0-9]+ is already in use")  # of a dashboard


@contextmanager
def _cluster(plan: ClusterPlan, device: str) -> Iterator[tuple[Any, int, Jobs | None]]:
    """What `Client` connects to, the threads of each worker or 0, and jobs to watch."""
    if plan.address:
        _check_reachable(plan.address)
        yield plan.address, 0, None
        return
    if plan.kind and plan.kind != "KubeCluster":
        jobs = _jobs(plan)
        try:
            yield jobs.cluster, 0, jobs
        finally:
            jobs.close(_REPLY_SECONDS)
        return
    cluster, threads = (
        _local_cluster(plan.workers, device) if plan.workers else (_kubernetes(plan), 0)
    )
    try:
        yield cluster, threads, None
    finally:
        cluster.close(timeout=_REPLY_SECONDS)


def _local_cluster(workers: int, device: str) -> tuple[Any, int]:
    """A scheduler in this process and worker processes, which listen to this computer only."""
    from dask.system import CPU_COUNT
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    given = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(given) if given.isdecimal() else max(1, CPU_COUNT // workers)
    gpus = 0 if device == "cpu" else _number_of_gpus()
    specification = {
        number: {
            "cls": Nanny,
            "options": {
                "host": _LOOPBACK,
                "nthreads": MOST_AT_A_TIME,
                "memory_limit": f"{0.95 / workers:.4f}",
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
                "env": {
                    "OMP_NUM_THREADS": str(max(1, threads)),
                    **({"CUDA_VISIBLE_DEVICES": _gpu(number, gpus)} if gpus else {}),
                },
                **({"resources": {"GPU": 1}} if gpus else {}),
            },
        }
        for number in range(workers)
    }
    has_dashboard = find_spec("bokeh") is not None
    try:
        return SpecCluster(
            workers=specification,
            scheduler={
                "cls": Scheduler,
                "options": {
                    "host": _LOOPBACK,
                    "port": 0,
                    "dashboard": has_dashboard,
                    "dashboard_address": f"{_LOOPBACK}:0",
                },
            },
            silence_logs=logging.CRITICAL,
            name="sdseg",
        ), max(1, threads)
    except (OSError, RuntimeError) as error:
        raise InputError(
            tr(
                "The {workers} workers cannot be started ({error}); start fewer, or close other "
                "programs."
            ).format(workers=workers, error=_text(error))
        ) from error


def _number_of_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _gpu(number: int, gpus: int) -> str:
    """Which GPU a worker sees; those that this process may use are shared out in turn."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = [name.strip() for name in seen.split(",") if name.strip()] or [
        str(place) for place in range(gpus)
    ]
    return names[number % len(names)]


def _jobs(plan: ClusterPlan) -> Jobs:
    """A scheduler in this process, and what submits the jobs once there is work."""
    module = CLASSES[plan.kind]
    _require(module.partition(".")[0], plan.kind)
    cluster_class = getattr(imported(module), plan.kind)
    with _arguments_of(plan):
        return Jobs(cluster_class, plan)


def _kubernetes(plan: ClusterPlan) -> Any:
    """A cluster in Kubernetes with its workers."""
    module = CLASSES[plan.kind]
    if find_spec(module.partition(".")[0]) is None:
        raise InputError(
            tr(
                "{where}: {kind} needs the package dask-kubernetes; install it with: pip "
                "install dask-kubernetes"
            ).format(where=plan.where, kind=plan.kind)
        )
    cluster_class = getattr(imported(module), plan.kind)
    with _arguments_of(plan):
        cluster = cluster_class(**plan.arguments)
    try:
        if plan.adapt:
            cluster.adapt(minimum=plan.adapt[0], maximum=plan.adapt[1])
        else:
            cluster.scale(plan.jobs)
    except (ValueError, OSError, RuntimeError) as error:
        cluster.close()
        raise InputError(
            tr(
                "{where}: the workers of {kind} cannot be asked for ({error}); check that this "
                "computer may do so."
            ).format(where=plan.where, kind=plan.kind, error=_text(error))
        ) from error
    return cluster


@contextmanager
def _arguments_of(plan: ClusterPlan) -> Iterator[None]:
    """Name the file if the class does not accept its arguments."""
    try:
        yield
    except (TypeError, ValueError, KeyError, OSError, RuntimeError, AssertionError) as error:
        raise InputError(
            tr(
                "{where}: {kind} cannot be started with these arguments ({error}); correct "
                "them: see the documentation of dask-jobqueue or dask-kubernetes."
            ).format(where=plan.where, kind=plan.kind, error=_text(error))
        ) from error


def imported(module: str) -> Any:
    """Import a module; Ctrl+C then does what it did before.

    On import dask-jobqueue makes Ctrl+C end the program at once, so that nothing would be saved.
    """
    if threading.current_thread() is not threading.main_thread():
        return import_module(module)
    before = signal.getsignal(signal.SIGINT)
    try:
        return import_module(module)
    finally:
        signal.signal(signal.SIGINT, before)


def _check_reachable(address: str) -> None:
    """Dask itself would try for half a minute before it says less.

    Raises:
        InputError: If nothing listens there.
    """
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            return
    except (OSError, UnicodeError) as error:
        raise InputError(
            tr(
                "The scheduler {address} cannot be reached ({error}); start it with: dask "
                "scheduler, check host and port, or use --workers for this computer alone."
            ).format(address=address, error=_text(error))
        ) from error


def _security(plan: ClusterPlan) -> Any:
    if not plan.tls:
        return None
    from distributed.security import Security

    return Security(
        tls_ca_file=plan.tls["ca"],
        tls_client_cert=plan.tls["certificate"],
        tls_client_key=plan.tls["key"],
        require_encryption=True,
    )


def _different_scheduler(client: Client) -> str:
    """A sentence if the scheduler runs another version of Dask, or ""."""
    import distributed

    try:
        there: Any = client.run_on_scheduler(_version_asker())
    except (OSError, ValueError, TimeoutError) as error:
        raise SDSegError(
            tr("The scheduler does not answer ({error}).").format(error=_text(error))
        ) from error
    if there == distributed.__version__:
        return ""
    return tr(
        "The scheduler has distributed {there} and this computer {version}; install the "
        "same version on both if something fails."
    ).format(there=there, version=distributed.__version__)


def _version_asker() -> Callable[[], str]:
    """A function for the scheduler, sent by its code, as that may have no SDSeg.

    Dask's own `get_versions` asks all workers as well, and waits for one that was stopped.
    """

    def version() -> str:
        import distributed

        return distributed.__version__

    return version


def _require(package: str, purpose: str) -> None:
    if find_spec(package) is None:
        raise MissingPackageError(package.replace("_", "-"), "cluster", purpose)


def _text(error: BaseException) -> str:
    text = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return text[:300] or type(error).__name__
