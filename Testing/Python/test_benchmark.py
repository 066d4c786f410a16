"""A researcher measures SDSeg beside other methods, on a machine that has not all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from typer.testing import CliRunner

from SDSegLib.benchmark import machine as machine_module
from SDSegLib.benchmark import run as running
from SDSegLib.benchmark.counters import counted
from SDSegLib.benchmark.figures import shown_seconds
from SDSegLib.benchmark.machine import Machine, faster, product_rates
from SDSegLib.benchmark.report import markdown, write_benchmark
from SDSegLib.benchmark.results import Benchmark, Result
from SDSegLib.benchmark.rows.catalogue import ROWS, find_rows
from SDSegLib.benchmark.rows.compact import COMPACT
from SDSegLib.benchmark.rows.published import Published, Way
from SDSegLib.benchmark.volumes import Size, enlarged, find_sizes, middle, volume_of
from SDSegLib.cli.app import app
from SDSegLib.errors import InputError, SDSegError
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import sample_ct
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume


@pytest.fixture(scope="module")
def sample() -> Volume:
    return read_volume(sample_ct())


def test_the_large_volumes_show_the_patient_at_the_same_size(sample: Volume) -> None:
    large = enlarged(sample, 300)
    assert large.array.shape == (300, 512, 512)
    assert large.array.dtype == np.int16
    assert large.geometry.spacing == (500 / 512, 500 / 512, sample.geometry.spacing[2])
    voxel = np.prod(sample.geometry.spacing[:2])
    bone = np.count_nonzero(sample.array[60] > 200) * voxel
    bone_there = np.count_nonzero(large.array[60] > 200) * (500 / 512) ** 2
    assert bone_there == pytest.approx(bone, rel=0.1)


def test_slices_go_there_and_back(sample: Volume) -> None:
    count = len(sample.array)
    large = enlarged(sample, count + 3)
    np.testing.assert_array_equal(large.array[count], large.array[count - 2])
    np.testing.assert_array_equal(large.array[count + 2], large.array[count - 4])
    single = enlarged(middle(sample, 1), 3)
    np.testing.assert_array_equal(single.array[0], single.array[2])


def test_the_ct_itself_is_left_alone(sample: Volume) -> None:
    assert volume_of(Size("ct", None), sample) is sample
    assert [size.name for size in find_sizes("512x600, ct")] == ["512x600", "ct"]
    with pytest.raises(InputError, match=r"Unknown volume '1024'; choose from ct, 512x120"):
        find_sizes("1024")


def test_operations_and_bytes_of_a_convolution_are_counted() -> None:
    layer = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
    image = torch.zeros(2, 3, 10, 12)

    def run() -> None:
        with torch.inference_mode():
            layer(image)

    gflop, gigabytes = counted(run)
    pixels = 2 * 10 * 12
    assert gflop * 1e9 == pytest.approx(2 * pixels * 8 * 3 * 9)
    assert gigabytes * 1e9 == pytest.approx(4 * (pixels * 3 + pixels * 8 + 8 * 3 * 9))


def test_a_floor_is_the_longer_of_computing_and_copying() -> None:
    result = made(gflop=100.0, gigabytes=30.0)
    assert result.floor(gflops=50.0, gigabytes=30.0) == 2.0
    assert result.floor(gflops=200.0, gigabytes=10.0) == 3.0


def test_a_run_that_is_faster_than_the_floor_has_no_share() -> None:
    slow_machine = replace(found().machine, gflops=25.0, cores=1)
    text = markdown(replace(found(), machine=slow_machine))
    assert "| SDSeg compact | 2.00 (1.00–3.00) | 1.00 | 9.00 | 123 | 100 | 2.00 |  |  |" in text
    assert "; 1 core of " in text
    assert made().share_of(1.0) == 0.5
    assert made().share_of(2.1) is None


def test_the_highest_rate_of_several_products_counts() -> None:
    rates = product_rates("cpu", sides=(64, 96), convolutions=((8, 16),), batch=2)
    assert len(rates) == 6
    assert all(rate > 0 for rate in rates.values())
    assert "products of matrices of 96 × 96, one transposed" in rates
    assert "3 × 3 convolutions of 8 maps of 16 × 16, channels last" in rates


@pytest.mark.parametrize(("seconds", "runs"), [(0.01, 15), (0.1, 5), (20.0, 3)])
def test_the_machine_is_measured_for_a_short_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, runs: int
) -> None:
    """On a slow computer, or a busy one, a product may take seconds."""
    clock = [0.0]

    def product() -> None:
        clock.append(clock[-1] + seconds)

    monkeypatch.setattr(machine_module, "time", SimpleNamespace(perf_counter=lambda: clock[-1]))
    assert machine_module._seconds(product, "cpu", min) == pytest.approx(seconds)
    assert len(clock) - 1 == 1 + runs, "once to warm up"


@pytest.mark.slow
def test_a_real_run_in_a_process_of_its_own(sample: Volume, tmp_path: Path) -> None:
    file = tmp_path / "größe.nii.gz"
    small = middle(sample, 6)
    image = sitk.GetImageFromArray(small.array)
    image.SetSpacing(small.geometry.spacing)
    sitk.WriteImage(image, str(file))
    result = running.measured(COMPACT, "ct", file, "cpu", seconds=0)
    assert isinstance(result, Result)
    assert result.shape == small.array.shape
    assert result.slices == 6
    assert len(result.seconds) == 1
    assert result.cold > result.median
    assert 6 * 2.4 < result.gflop < 3 * 6 * 2.6
    assert set(result.stages) >= {"read", "preprocess", "condition", "step", "decode", "restore"}
    assert result.stages["step"] > result.stages["decode"]


def test_a_row_that_fails_says_why_and_the_others_go_on(tmp_path: Path) -> None:
    broken = tmp_path / "volume.nii.gz"
    broken.write_bytes(b"not a volume")
    result = running.measured(COMPACT, "ct", broken, "cpu", seconds=0)
    assert isinstance(result, SDSegError)
    assert str(result).startswith("SDSeg compact failed on ct: ")
    assert "volume.nii.gz" in str(result)


def test_slow_rows_are_timed_on_the_first_volume_only(
    sample: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def instead(row, volume, file, device, seconds):  # type: ignore[no-untyped-def]
        assert file.exists()
        asked.append((row.name, volume))
        return SDSegError("not run")

    monkeypatch.setattr(running, "measured", instead)
    rows = find_rows("compact,ddim-10")
    sizes = (Size("ct", None), Size("512x2", 2))
    list(running.run_rows(rows, sizes, middle(sample, 3), "cpu", 0, 1e9, lambda text: None))
    assert asked == [("compact", "ct"), ("ddim-10", "ct"), ("compact", "512x2")]


def test_what_would_take_too_long_is_left_out_and_named(
    sample: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def instead(row, volume, file, device, seconds):  # type: ignore[no-untyped-def]
        asked.append(volume)
        return made(volume=volume, seconds=(30.0,))

    monkeypatch.setattr(running, "measured", instead)
    sizes = (Size("512x4", 4), Size("512x8", 8), Size("512x40", 40))
    results = list(
        running.run_rows((COMPACT,), sizes, middle(sample, 4), "cpu", 0, 120, lambda text: None)
    )
    assert asked == ["512x4", "512x8"]
    assert str(results[2]) == "SDSeg compact on 512x40 would take about 2 minutes a run."


@pytest.mark.slow
def test_the_published_networks_give_the_same_labels_both_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tiny networks on slices that are 256 × 256 and all tissue, so that nothing is resampled."""
    from SDSegLib.benchmark.rows import published
    from SDSegLib.networks.kl_autoencoder import KLAutoencoderConfig
    from SDSegLib.networks.unet import UNetConfig

    full = published._description

    def tiny(structures: int):  # type: ignore[no-untyped-def]
        classes = structures + 1 if structures > 1 else None
        unet = UNetConfig(
            model_channels=32, channel_mult=(1,), num_res_blocks=1, attention_resolutions=(),
            num_heads=1, num_classes=classes,
        )  # fmt: skip
        autoencoder = KLAutoencoderConfig(ch=32, ch_mult=(1, 1, 1, 1), num_res_blocks=1)
        network = {"unet": vars(unet), "autoencoder": vars(autoencoder)}
        return replace(full(structures), network=network)

    monkeypatch.setattr(published, "_description", tiny)
    blocks = np.random.default_rng(0).integers(-300, 400, (2, 16, 16), dtype=np.int16)
    array = blocks.repeat(16, axis=1).repeat(16, axis=2)
    volume = Volume(array, Geometry(array.shape, (1.0, 1.0, 3.0), (0.0, 0.0, 0.0), np.eye(3)))
    for structures in (7, 1):
        plain, batched = (
            Published(Way(structures, is_batched=is_batched), "cpu").segment(volume)
            for is_batched in (False, True)
        )
        assert plain.dtype == batched.dtype == np.uint8
        assert len(np.unique(plain)) > 1
        assert (plain == batched).mean() > 0.999
    several = Published(Way(structures=1, steps=3, samples=2), "cpu").segment(volume)
    assert several.shape == volume.array.shape
    assert 0.5 < (several == plain).mean() < 1


def test_rows_are_found_by_name() -> None:
    assert find_rows("") == ROWS
    assert [row.name for row in find_rows("ddim-50,compact")] == ["ddim-50", "compact"]
    with pytest.raises(InputError, match="Unknown row 'unet'; choose from compact, compact-8"):
        find_rows("unet")


def made(row: str = "compact", volume: str = "ct", **changes: object) -> Result:
    values = {
        "row": row, "volume": volume, "shape": (112, 101, 122), "slices": 112, "cold": 9.0,
        "seconds": (2.0, 1.0, 3.0), "peak_bytes": 123_000_000, "gflop": 100.0, "gigabytes": 2.0,
        **changes,
    }  # fmt: skip
    return Result(**values)  # type: ignore[arg-type]


def found() -> Benchmark:
    machine = Machine(
        "2026-01-02", "Linux x86_64", "some chip", 2, "processor", "2.13", 100.0, 10.0
    )
    return Benchmark(
        machine=machine,
        command="sdseg benchmark --output x",
        rows=find_rows("compact,ddim-10"),
        results=(
            made(stages={"read": 0.1, "step": 1.5, "write": 0.2}),
            made("ddim-10", slices=1, seconds=(500.0,), gflop=30000.0, peak_bytes=None),
        ),
        scaling=(made(volume="512x30", shape=(30, 512, 512), slices=30),
                 made(volume="512x60", shape=(60, 512, 512), slices=60)),
        startup={"sdseg --help": 0.3},
        worker={"torch": 1.5, "first batch": 0.5},
        notes=("nnU-Net v2, 2-D needs nnunetv2.",),
    )  # fmt: skip


def test_the_report_gives_ratios_floors_and_what_was_left_out() -> None:
    text = markdown(found())
    assert "## 122 × 101 × 112" in text
    assert (
        "| SDSeg compact | 2.00 (1.00–3.00) | 1.00 | 9.00 | 123 | 100 | 2.00 | 1.00 | 50 % |"
        in text
    )
    ddim = "Latent diffusion, 10 steps, 5 samples (1 of 112)"
    assert f"| {ddim} | 500 | 250 | 9.00 |  | 30000 | 2.00 | 300 | 60 % |" in text
    assert "| together | 2.00 |" in text
    assert "- nnU-Net v2, 2-D needs nnunetv2." in text


def test_the_files_of_a_report(tmp_path: Path) -> None:
    write_benchmark(tmp_path, found())
    names = {"report.md", "benchmark.json", "seconds.png", "stages.png", "scaling.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    data = json.loads((tmp_path / "benchmark.json").read_text(encoding="utf-8"))
    assert data["results"][1]["seconds"] == [500.0]
    assert data["machine"]["gflops"] == 100.0


def test_a_disturbed_machine_is_taken_at_its_best() -> None:
    first = found().machine
    both = faster(first, replace(first, gflops=140.0, gigabytes=5.0, fastest="convolutions"))
    assert (both.gflops, both.gigabytes, both.fastest) == (140.0, 10.0, "convolutions")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.314, "0.31 s"), (4.99, "5.0 s"), (72.8, "73 s"), (195, "3.2 min"), (5787, "1.6 h")],
)
def test_times_are_written_shown_seconds(seconds: float, expected: str) -> None:
    assert shown_seconds(seconds) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rows", "unet"], "Unknown row 'unet'"),
        (["--volumes", "big"], "Unknown volume 'big'"),
        (["--image", "nowhere.nii.gz"], "nowhere.nii.gz"),
        (["--device", "tpu"], "Unknown device 'tpu'"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    output = tmp_path / "results"
    done = CliRunner().invoke(app, ["benchmark", "--output", str(output), *arguments])
    assert isinstance(done.exception, SDSegError)
    assert expected in str(done.exception)
    assert not output.exists()


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("mine", encoding="utf-8")
    arguments = ["benchmark", "--output", str(tmp_path), "--rows", "compact"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, SDSegError)
    assert "is not empty" in str(done.exception)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == "mine"


def test_a_row_whose_package_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegLib.benchmark import run

    monkeypatch.setattr(run, "find_spec", lambda name: None)
    arguments = ["benchmark", "--output", str(tmp_path / "out"), "--rows", "nnunet-2d"]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, SDSegError)
    assert 'pip install "sdseg[benchmark]"' in str(done.exception)
