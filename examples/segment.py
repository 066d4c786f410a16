"""Segment a CT: python examples/segment.py [CT] --output organs.seg.nrrd

Without CT the one that comes with SDSeg. Prints what is doubtful, and the volume of each structure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import SDSegLib
from SDSegLib.resources import sample_ct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ct", type=Path, nargs="?", help="NIfTI, NRRD, MetaImage or DICOM folder")
    parser.add_argument("--output", type=Path, required=True, help=".seg.nrrd or .nii.gz")
    parser.add_argument("--model", help="name or folder; without it the one that fits best")
    parser.add_argument("--samples", type=int, default=1, help="several show where it is unsure")
    arguments = parser.parse_args()

    volume = SDSegLib.read_volume(arguments.ct or sample_ct())
    for note in volume.notes:
        print("Note:", note)

    model = arguments.model
    if model is None:
        fit = SDSegLib.choose_model(volume)
        model = fit.model.description.name
        print(f"{model} {fit.level}: {fit.reason}")

    segmenter = SDSegLib.load_segmenter(model)
    findings = SDSegLib.judge_input(volume, segmenter.description.expects)
    for finding in findings:
        print(f"{finding.severity}: {finding.message}")
    if any(finding.severity == "refuse" for finding in findings):
        raise SystemExit(2)

    result = segmenter.segment(volume, samples=arguments.samples)
    for name, volume_ml in result.volumes_ml().items():
        print(f"{name:<22}{volume_ml:8.1f} mL")

    if arguments.output.name.endswith(".seg.nrrd"):
        SDSegLib.write_seg_nrrd(result, arguments.output)  # names, colours and codes
    else:
        SDSegLib.write_label_map(result, arguments.output)  # numbers
    print("Wrote", arguments.output)


if __name__ == "__main__":
    main()
