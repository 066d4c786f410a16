"""Seconds of a step of Muon on one core of a processor, beside the same step by plain iterations.

    python Testing/Benchmarks/muon.py [--rounds 10]

The weights are those of the network that Teach begins with. Both ways are timed in turn, so that
what else the machine does falls on both alike: through the Gram matrix where a weight has at least
twice as many columns as rows, and by iterations for all of them.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time

import torch

from SDSegLib.models.folder import load_networks
from SDSegLib.models.registry import foundation_model
from SDSegLib.training import muon
from SDSegLib.training.direct import DirectStage


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network = load_networks(foundation_model().folder).network
    without = [name.removeprefix("network.") for name in DirectStage.FOR_ADAMW]
    weights = muon.convolutions_for_muon(network, without)
    others = muon.all_but(network, weights)
    optimizer = muon.MuonWithAdamW(weights, others, 2e-2, 8e-3, 0.01)
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    ways = {"through the Gram matrix": muon._WIDE, "by iterations": math.inf}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds + 1):  # the first one is not counted
        for name, wide in ways.items():
            muon._WIDE = wide
            started = time.process_time()
            optimizer.step()
            seconds[name].append(time.process_time() - started)
    first, second = (statistics.median(found[1:]) for found in seconds.values())
    for name, median in zip(ways, (first, second), strict=True):
        sys.stdout.write(f"{name}: {median:.3f} s\n")
    sys.stdout.write(f"ratio {first / second:.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
