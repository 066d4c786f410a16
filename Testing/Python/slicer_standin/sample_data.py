"""The module `SampleData`: registered sources are recorded."""

from __future__ import annotations

from typing import Any

from .strict import StrictModule

_ARGUMENTS = {
    "category", "sampleName", "uris", "fileNames", "nodeNames", "customDownloader",
    "thumbnailFileName", "loadFileType", "loadFiles", "loadFileProperties", "checksums",
}  # fmt: skip


def make_sample_data(sources: list[dict[str, Any]]) -> StrictModule:
    """The module; what is registered goes into `sources`."""

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(category: str = "Custom", **source: Any) -> None:
            unknown = set(source) - _ARGUMENTS
            if unknown:
                raise TypeError(f"registerCustomSampleDataSource has no argument {sorted(unknown)}")
            if not source.get("sampleName"):
                raise ValueError("A sample data source needs a sampleName")
            sources.append({"category": category, **source})

    module = StrictModule("SampleData")
    module.SampleDataLogic = SampleDataLogic
    return module
