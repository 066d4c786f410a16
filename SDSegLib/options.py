"""The options of a segmentation run, defined once for all user interfaces.

The command line, the module of 3D Slicer, the page in the browser, the worker and scripts read
names, limits, defaults and help texts here. Importing this file needs no other package.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from .errors import InputError
from .language import tr

if TYPE_CHECKING:
    from .volume.region import Region

DEVICES = ("auto", "cuda", "mps", "cpu")
PRECISIONS = ("auto", "float32", "float16", "bfloat16")
MAXIMUM_SAMPLES = 64
MAXIMUM_STEPS = 1000
MAXIMUM_BATCH = 4096

Kind = Literal["text", "names", "region", "number", "switch", "choice"]


@dataclass(frozen=True)
class OptionInfo:
    """Description of one option for user interfaces.

    Attributes:
        name: Attribute of `RunOptions`.
        kind: Type of its values.
        title: Short label.
        help: One or two sentences.
        is_optional: Whether None is allowed.
        unit: Plural noun for error messages, for example "samples".
        minimum: Smallest number; None if the option is not a number.
        maximum: Largest number.
        choices: Allowed words; empty if the option is not a choice.
    """

    name: str
    kind: Kind
    title: str
    help: str
    is_optional: bool = False
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> None:
        """Raise `InputError`, naming the value and the allowed ones, if it is not allowed."""
        if value is None and self.is_optional:
            return
        if self.kind == "choice":
            if value not in self.choices:
                raise InputError(
                    tr("Unknown {name} {value!r}; choose one of {choices}.").format(
                        name=self.name, value=value, choices=", ".join(self.choices)
                    )
                )
        elif self.kind == "number":
            self._check_number(value)
        elif not self._has_type(value):
            raise InputError(
                tr("The option {name} cannot be {value!r}; {type}.").format(
                    name=self.name, value=value, type=_TYPES[self.kind]
                )
            )

    @property
    def limits(self) -> str:
        """Smallest and largest number in words; "" if it is not a number."""
        return (
            ""
            if self.minimum is None
            else tr("{minimum} to {maximum}").format(minimum=self.minimum, maximum=self.maximum)
        )

    def _check_number(self, value: Any) -> None:
        assert self.minimum is not None
        assert self.maximum is not None
        if isinstance(value, bool) or not isinstance(value, int):
            raise InputError(
                tr("{value!r} {unit}: not a whole number.").format(value=value, unit=self.unit)
            )
        if not self.minimum <= value <= self.maximum:
            raise InputError(
                tr("{value} {unit}; {limits} are possible.").format(
                    value=value, unit=self.unit, limits=self.limits
                )
            )

    def _has_type(self, value: Any) -> bool:
        if self.kind == "text":
            return isinstance(value, str)
        if self.kind == "switch":
            return isinstance(value, bool)
        if self.kind == "names":
            return isinstance(value, tuple) and all(isinstance(name, str) for name in value)
        from .volume.region import Region

        return isinstance(value, Region)


_TYPES: dict[Kind, str] = {
    "text": tr("it is a text"),
    "switch": tr("it is true or false"),
    "names": tr("it is a list of names"),
    "region": tr("it is a Region, a box of voxels"),
}


def _option(default: Any, **info: Any) -> Any:
    return field(default=default, metadata=info)


@dataclass(frozen=True)
class RunOptions:
    """How one volume is segmented.

    Attributes:
        model: Name of an installed model, or its folder. None selects the model that fits the
            volume best.
        structures: Names or ids of the structures wanted, in any case; None for all of the model's.
        region: Box of the volume's voxels to segment; None for all of it.
        samples: Noise latents z_T whose class probabilities are averaged, 1 to 64. More than one
            also gives the instability of each voxel.
        steps: UNet calls of the reverse process (DDIM); 1 is SDSeg's single step.
        mirror: Average the class probabilities with those of the mirrored slices.
        device: "auto", "cuda", "mps" or "cpu".
        precision: Number type of the networks: "auto", "float32", "float16" or "bfloat16".
        batch: Slices that are computed together; None for the default of family and device.
    """

    model: str | None = _option(
        None,
        kind="text",
        is_optional=True,
        title=tr("Model"),
        help=tr(
            "Name of an installed model, or its folder; without it the model that fits the "
            "image best."
        ),
    )
    structures: tuple[str, ...] | None = _option(
        None,
        kind="names",
        is_optional=True,
        title=tr("Structures"),
        help=tr("Structures wanted, by name or id; all without it."),
    )
    region: Region | None = _option(  # noqa: RUF009
        None,
        kind="region",
        is_optional=True,
        title=tr("Region"),
        help=tr("Only this box of the input's voxels, counted from 0; I1, J1, K1 are not in it."),
    )
    samples: int = _option(
        1,
        kind="number",
        title=tr("Samples"),
        unit=tr("samples"),
        minimum=1,
        maximum=MAXIMUM_SAMPLES,
        help=tr("Noise samples to average; two or more also show where the result is uncertain."),
    )
    steps: int = _option(
        1,
        kind="number",
        title=tr("Reverse steps"),
        unit=tr("reverse steps"),
        minimum=1,
        maximum=MAXIMUM_STEPS,
        help=tr(
            "UNet calls of the reverse process (DDIM); 1 is SDSeg's single step, more are for "
            "comparison."
        ),
    )
    mirror: bool = _option(
        False,
        kind="switch",
        title=tr("Mirrored slices"),
        help=tr("Average with what is found in mirrored slices: twice the time."),
    )
    device: str = _option(
        "auto",
        kind="choice",
        title=tr("Device"),
        choices=DEVICES,
        help=tr("Where to compute: auto, cuda, mps or cpu."),
    )
    precision: str = _option(
        "auto",
        kind="choice",
        title=tr("Precision"),
        choices=PRECISIONS,
        help=tr("Number type of the networks: auto, float32, float16 or bfloat16."),
    )
    batch: int | None = _option(
        None,
        kind="number",
        is_optional=True,
        title=tr("Batch"),
        unit=tr("slices in a batch"),
        minimum=1,
        maximum=MAXIMUM_BATCH,
        help=tr("Slices computed at a time; by default the device decides."),
    )

    def __post_init__(self) -> None:
        structures = self.structures
        if structures is not None:
            names = (structures,) if isinstance(structures, str) else tuple(structures)
            object.__setattr__(self, "structures", names or None)
        for name in ("samples", "steps", "batch"):  # NumPy integers too
            value = getattr(self, name)
            if isinstance(value, Integral) and not isinstance(value, bool):
                object.__setattr__(self, name, int(value))

    @classmethod
    def infos(cls) -> dict[str, OptionInfo]:
        """Title, help and limits of every option, by name and in a fixed order."""
        return {item.name: OptionInfo(item.name, **item.metadata) for item in fields(cls)}

    def check(self) -> RunOptions:
        """Return these options if every value is allowed.

        Raises:
            InputError: Naming the first value that is not allowed, and the allowed ones.
        """
        for name, info in self.infos().items():
            info.check(getattr(self, name))
        return self

    def with_changes(self, **changes: Any) -> RunOptions:
        """A copy with some values changed; a value of None leaves the option as it is."""
        return replace(self, **{name: item for name, item in changes.items() if item is not None})

    def to_json(self) -> dict[str, Any]:
        """Plain values for a message or a file; `from_json` reads them back."""
        data: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        data["structures"] = None if self.structures is None else list(self.structures)
        data["region"] = None if self.region is None else self.region.to_json()
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunOptions:
        """Read and check the output of `to_json`; entries left out keep their defaults.

        Raises:
            InputError: Naming an entry that is unknown or a value that is not allowed.
        """
        unknown = sorted(set(data) - set(cls.infos()))
        if unknown:
            raise InputError(
                tr("Unknown option {unknown!r}; options are {infos}.").format(
                    unknown=unknown[0], infos=", ".join(cls.infos())
                )
            )
        values = dict(data)
        if values.get("region") is not None:
            from .volume.region import Region

            values["region"] = Region.from_json(values["region"])
        return cls(**values).check()


def structure_names(text: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Structure names as a user gives them: a list, or a text with commas; None for all.

    Raises:
        InputError: If a text holds no name.
    """
    if text is None:
        return None
    parts = text.split(",") if isinstance(text, str) else list(text)
    names = tuple(part.strip() if isinstance(part, str) else part for part in parts)
    names = tuple(name for name in names if name)
    if isinstance(text, str) and not names:
        raise InputError(
            tr("The list {text!r} names no structure; leave it out for all of them.").format(
                text=text
            )
        )
    return names or None
