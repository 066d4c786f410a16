"""The sample CT in the module Sample Data."""

from pathlib import Path

from SDSegLib.resources import resource_folder

SAMPLE_NAME = "Head and neck CT"
SAMPLE_FILE = "head-neck-ct.nii.gz"
SAMPLE_SHA256 = "2abd5a7e9ae8decd6a831b74bd51c7b3cb4cdf9d0bd78e5036bebce235fdc492"


def registerSampleData(iconFolder: Path) -> None:
    """Register the CT that comes with the extension; nothing is downloaded."""
    import SampleData

    path = resource_folder() / "Samples" / SAMPLE_FILE
    if not path.is_file():
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SDSeg",
        sampleName=SAMPLE_NAME,
        uris=path.as_uri(),
        fileNames=f"SDSeg-{SAMPLE_FILE}",
        nodeNames="SDSeg head and neck CT",
        checksums=f"SHA256:{SAMPLE_SHA256}",
        loadFileType="VolumeFile",
        thumbnailFileName=str(iconFolder / "SDSegHeadNeck.png"),
    )
