"""Time of the pipeline by stage."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import MissingPackageError
from ..export.label_map import write_label_map
from ..mrml.segmentation_node import segmentation_to_node
from ..mrml.session import open_session
from ..volume.volume import Volume

if TYPE_CHECKING:
    from ..inference.segmenter import Segmenter
    from ..volume.segmentation import Segmentation

NETWORK_STAGES = ("preprocess", "condition", "step", "decode", "restore")


def stages_of(segmenter: Segmenter, volume: Volume) -> dict[str, float]:
    """Seconds of a warm run by stage, then of writing a NIfTI file and a segmentation node.

    "rest" is the time between the stages, to remove small components and restore axes. The node is
    left out where MRML is not installed.
    """
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    on_gpu = segmenter.choice.device.type == "cuda"
    if on_gpu:
        activities.append(ProfilerActivity.CUDA)
    started = time.perf_counter()
    with profile(activities=activities) as profiler:
        result = segmenter.segment(volume)
        spent = time.perf_counter() - started
    found = {
        event.key: (event.device_time_total if on_gpu else event.cpu_time_total) / 1e6
        for event in profiler.key_averages()
        if event.key in NETWORK_STAGES
    }
    stages = {name: found.get(name, 0.0) for name in NETWORK_STAGES}
    stages["rest"] = max(0.0, spent - sum(stages.values()))
    return {**stages, **_writing_seconds(result)}


def _writing_seconds(result: Segmentation) -> dict[str, float]:
    seconds = {}
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        write_label_map(result, Path(folder) / "labels.nii.gz")
        seconds["write"] = time.perf_counter() - started
    try:
        with open_session() as session:
            started = time.perf_counter()
            segmentation_to_node(result, scene=session.scene)
            seconds["node"] = time.perf_counter() - started
    except MissingPackageError:
        pass
    return seconds
