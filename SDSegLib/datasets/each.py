"""Do something with each of many things in a few threads, by MONAI's cache of results."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import SDSegError

MOST_READERS = 4

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def each(things: Sequence[Thing], load: Callable[[Thing], Result]) -> list[Result]:
    """Results of `load` in the order of `things`.

    Raises:
        SDSegError: What `load` raises, for the first thing that fails.
    """
    from monai.data import CacheDataset
    from monai.transforms import Transform

    class Load(Transform):
        def __call__(self, data: Thing) -> Result:
            return load(data)

    try:
        dataset = CacheDataset(
            list(things),
            Load(),
            num_workers=min(MOST_READERS, os.cpu_count() or 1),
            progress=False,
            copy_cache=False,
            as_contiguous=False,
        )
    except RuntimeError as error:
        if isinstance(error.__cause__, SDSegError):  # MONAI wraps what a transform raises
            raise error.__cause__ from None
        raise
    return [dataset[index] for index in range(len(things))]
