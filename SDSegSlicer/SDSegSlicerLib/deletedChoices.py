"""A deleted CT, region or output leaves its choice empty, and the user is told."""

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

_BEFORE_SELECTORS, _AFTER_SELECTORS = 10.0, -10.0  # priorities of observers; the default is 0


class DeletedChoices(VTKObservationMixin):
    """Undoes what a node selector does by itself when the chosen node is deleted.

    It takes the node above in its list, which may be anything: a map of instability, another
    patient's CT, a segmentation of another program.

    Args:
        onDeleted: Called with a sentence for the user.
    """

    def __init__(self, onDeleted: Callable[[str], None]) -> None:
        VTKObservationMixin.__init__(self)
        self._onDeleted = onDeleted
        self._parameters: Any = None
        self._gone: dict[str, str] = {}

    def follow(self, parameters: Any) -> None:
        """Watch the nodes that are chosen in a parameter node; None for no more."""
        self.removeObservers()
        self._parameters = parameters
        self._gone.clear()
        if parameters is None:
            return
        scene = slicer.mrmlScene
        self.addObserver(
            scene, scene.NodeAboutToBeRemovedEvent, self._remember, priority=_BEFORE_SELECTORS
        )
        self.addObserver(scene, scene.NodeRemovedEvent, self._empty, priority=_AFTER_SELECTORS)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _remember(self, scene: Any, event: Any, node: Any) -> None:
        if scene.IsClosing() or self._parameters is None:
            return
        for name in ("inputVolume", "region", "outputSegmentation", "caseSegmentation"):
            if getattr(self._parameters, name) is node:
                self._gone[name] = node.GetName() or ""

    def _empty(self, scene: Any, event: Any) -> None:
        if not self._gone or scene.IsClosing() or self._parameters is None:
            return
        gone, self._gone = self._gone, {}
        for name in gone:
            setattr(self._parameters, name, None)
        self._onDeleted(" ".join(_sentence(name, text) for name, text in gone.items()))


def _sentence(name: str, node: str) -> str:
    pattern = {
        "inputVolume": _('The chosen CT "{node}" was deleted; choose another one.'),
        "region": _('The region "{node}" was deleted; now the whole volume is segmented.'),
        "outputSegmentation": _(
            'The output "{node}" was deleted; the result goes into a new segmentation.'
        ),
        "caseSegmentation": _('The segmentation "{node}" was deleted; choose another one to add.'),
    }[name]
    return pattern.format(node=node)
