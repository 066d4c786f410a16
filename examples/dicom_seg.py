"""From a DICOM series to a DICOM Segmentation: python examples/dicom_seg.py FOLDER --output seg.dcm

The segmentation carries patient, study and frame of reference of the series, as the standard asks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import SDSegLib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--series", help="number or UID, if the folder holds several")
    parser.add_argument("--output", type=Path, required=True, help="a .dcm file")
    parser.add_argument("--model", default="head-neck-oar", help="name or folder")
    arguments = parser.parse_args()

    print(f"{len(SDSegLib.list_series(arguments.folder))} series in the folder")
    volume = SDSegLib.read_volume(arguments.folder, series=arguments.series)
    result = SDSegLib.load_segmenter(arguments.model).segment(volume)
    SDSegLib.write_dicom_seg(result, volume, arguments.output)
    print("Wrote", arguments.output)


if __name__ == "__main__":
    main()
