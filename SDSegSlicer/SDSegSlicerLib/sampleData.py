"""The sample CT in the module Sample Data."""

from pathlib import Path

from SDSegLib.models.folder import sha256_of
from SDSegLib.resources import resource_folder

SAMPLE_NAME = "SDSegHeadNeck"
SAMPLE_FILE = "head-neck-ct.nii.gz"


def registerSampleData(iconFolder: Path) -> None:
    """Offer the CT that comes with the extension; nothing is downloaded."""
    import SampleData

    path = resource_folder() / "Samples" / SAMPLE_FILE
    if not path.is_file():
        return
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="SDSeg",
        sampleName=SAMPLE_NAME,
        sampleDescription="Head and neck CT",
        uris=path.as_uri(),
        fileNames=f"SDSeg-{SAMPLE_FILE}",
        nodeNames="SDSeg head and neck CT",
        checksums=f"SHA256:{sha256_of(path)}",
        loadFileType="VolumeFile",
        thumbnailFileName=str(iconFolder / "SDSegHeadNeck.png"),
    )
