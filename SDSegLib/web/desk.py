"""What the panels of the page share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trame_slicer.core import SlicerApp

from .editor import Editor
from .inbox import Inbox
from .page_state import Page
from .study import Study
from .views import Views


@dataclass(frozen=True)
class Desk:
    """Parts of the running program.

    Attributes:
        app: Scene and logics.
        page: What the page draws.
        views: The slice views and the 3-D view.
        editor: Tools for segments.
        study: What is open.
        inbox: Files on their way in.
        folder: The private folder.
    """

    app: SlicerApp
    page: Page
    views: Views
    editor: Editor
    study: Study
    inbox: Inbox
    folder: Path
