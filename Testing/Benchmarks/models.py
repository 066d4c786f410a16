"""Seconds a slice of several models, in turn, as ratios to the first.

    python Testing/Benchmarks/models.py MODEL [MODEL …] [--image CT] [--samples 1,8] [--mirror]

A model is a name or a folder. Figures are medians over the rounds; a slice is one of the CT that is
not all air. All models run through the same pipeline, and in turn, so that what else the machine
does falls on all alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from SDSegLib.benchmark.machine import describe_machine, in_cores
from SDSegLib.families.base import LatentFamily
from SDSegLib.inference.cost import measure_cost
from SDSegLib.inference.load import load_segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import sample_ct

AIR_HU = -500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--image", type=Path, default=sample_ct())
    parser.add_argument("--samples", default="1,8", help="numbers of noises, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--mirror", action="store_true")
    arguments = parser.parse_args()
    volume = read_volume(arguments.image)
    slices = int((volume.array > AIR_HU).any(axis=(1, 2)).sum())
    segmenters = {
        name: load_segmenter(name, arguments.device, mirror=arguments.mirror)
        for name in arguments.models
    }
    ways = [
        (name, int(count))
        for count in arguments.samples.split(",")
        for name in arguments.models
        if count == "1" or isinstance(segmenters[name].family, LatentFamily)
    ]
    seconds: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    for _ in range(arguments.rounds + 1):
        for name, samples in ways:
            started = time.perf_counter()
            segmenters[name].segment(volume, samples=samples)
            seconds[name, samples].append(time.perf_counter() - started)
    first = statistics.median(seconds[ways[0]][1:])
    say = sys.stdout.write
    machine = describe_machine(str(segmenters[ways[0][0]].choice.device))
    say(f"{machine.date}; {in_cores(machine.cores)} of {machine.processor}, {machine.device}, ")
    say(f"PyTorch {machine.torch}, {machine.gflops:.0f} GFLOP/s at most\n")
    say(f"{arguments.image.name}: {slices} slices, median of {arguments.rounds} rounds\n\n")
    say("| model | noises | GFLOP a slice | s a volume | s a slice | ratio |\n")
    say("| --- | ---: | ---: | ---: | ---: | ---: |\n")
    for name, samples in ways:
        median = statistics.median(seconds[name, samples][1:])
        title = segmenters[name].description.name
        cost = measure_cost(segmenters[name].family).gflop
        say(
            f"| {title} | {samples} | {cost:.2f} | {median:.2f} | {median / slices:.4f} | "
            f"{median / first:.2f} |\n"
        )


if __name__ == "__main__":
    main()
