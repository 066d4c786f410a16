"""The effect as 3D Slicer calls it: it passes everything to its panel and its session."""

from pathlib import Path
from typing import Any

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from .register import EFFECT_NAME, MODULE_EDITOR_TAG, newEffect

_ICON = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "SDSegPropagate.png"
_FOLLOW = "Follow"

# Every Segment Editor has an instance of its own. The session is made at the first use of the
# effect, so that 3D Slicer starts without the library.


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """Carries a mask from drawn slices to the others."""

    def __init__(self, scriptedEffect: Any) -> None:
        scriptedEffect.name = EFFECT_NAME  # here, or its copies in the editors lose it
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)
        self.panel: Any = None
        self.session: Any = None

    def clone(self) -> Any:
        """The instance for an editor."""
        return newEffect()

    def icon(self) -> qt.QIcon:
        """For the effect's button."""
        return qt.QIcon(str(_ICON))

    def helpText(self) -> str:
        """Shown under the effect's options."""
        return _(
            "<html>Draw a structure on a few slices, or correct a predicted one on a slice: SDSeg "
            "carries it to the other slices.<br><p>"
            "<b>Between, Up, Down, All</b>: show a preview; it follows every stroke, also while "
            "another effect such as Paint is in use.<br>"
            "<b>Apply</b>, or the key <b>C</b>: take it. Slices drawn by hand stay exactly as they "
            "are. Editable area, overwriting of other segments and undo work as usual.<br>"
            "<b>Draw this one next</b>, or the key <b>N</b>: go to the slice whose correction "
            "helps most.</p></html>"
        )

    @property
    def isInModule(self) -> bool:
        """Whether its editor is that of the module SDSeg, which has buttons of its own."""
        node = self.scriptedEffect.parameterSetNode()
        return node is not None and node.GetSingletonTag() == MODULE_EDITOR_TAG

    def createCursor(self, widget: Any) -> Any:
        """The ordinary cursor: the effect does nothing with the mouse."""
        return slicer.util.mainWindow().cursor

    def setupOptionsFrame(self) -> None:
        """Called once for each editor."""
        from .panel import Panel

        self.panel = Panel(self)

    def activate(self) -> None:
        """The user chooses the effect."""
        from .session import Session

        if self.session is None:
            self.session = Session(self.scriptedEffect, self.panel.draw)
            self.panel.session = self.session
        self.session.enter()
        self.updateGUIFromMRML()

    def deactivate(self) -> None:
        """Another effect is chosen, or none; the session goes on while the user draws."""
        if self.session is not None:
            self.session.leave()

    def cleanup(self) -> None:
        """The editor goes away."""
        if self.session is not None:
            self.session.end()
            self.session = None
        if self.panel is not None:
            self.panel.release()
            self.panel = None

    def carry(self) -> None:
        """Show a preview in the direction chosen last; for the module's button and scripts."""
        if self.session is not None and not self.session.problem:
            self.session.carry(self.session.direction)

    def setMRMLDefaults(self) -> None:
        """The effect's parameters, which are kept in the scene."""
        self.scriptedEffect.setParameterDefault(_FOLLOW, 1)

    def updateGUIFromMRML(self) -> None:
        """A parameter has changed."""
        if self.panel is not None:
            isFollowing = self.scriptedEffect.integerParameter(_FOLLOW) != 0
            self.panel.setFollowing(isFollowing)
            if self.session is not None:
                self.session.follow(isFollowing)
            self.panel.draw()

    def updateMRMLFromGUI(self) -> None:
        """The user has changed an option."""
        if self.panel is not None:
            self.scriptedEffect.setParameter(_FOLLOW, 1 if self.panel.isFollowing else 0)

    def sourceVolumeNodeChanged(self) -> None:
        """The editor's volume has changed."""
        if self.session is not None:
            self.session.changed()
