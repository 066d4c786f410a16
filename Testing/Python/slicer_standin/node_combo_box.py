"""qMRMLNodeComboBox on a real scene: follows nodes as they come, go and get new names."""

from __future__ import annotations

import weakref
from typing import Any

import vtk
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QInputDialog, QLineEdit, QWidget
from shiboken6 import Shiboken

from .fields import checked, fields
from .observing import Observer
from .signals import StandinSignal

_ANY = object()


def _leave(box: qMRMLNodeComboBox) -> Any:
    """What a selector does before a node is removed; does not keep the selector alive."""
    reference = weakref.ref(box)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def leave(scene: Any, event: Any, node: Any) -> None:
        found = reference()
        if found is not None and Shiboken.isValid(found) and not scene.IsClosing():
            found._leave(node)

    return leave


class qMRMLNodeComboBox(QWidget):
    """Chooses a node of a scene, by type and attributes."""

    currentNodeChanged = StandinSignal(
        "currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)"
    )
    currentNodeIDChanged = StandinSignal("currentNodeIDChanged(QString)")
    nodeActivated = StandinSignal("nodeActivated(vtkMRMLNode*)")
    nodeAdded = StandinSignal("nodeAdded(vtkMRMLNode*)")
    nodeAddedByUser = StandinSignal("nodeAddedByUser(vtkMRMLNode*)")
    vars().update(
        fields(
            showHidden=(bool, False),
            showChildNodeTypes=(bool, True),
            hideChildNodeTypes=(list, []),
            noneEnabled=(bool, False),
            addEnabled=(bool, True),
            removeEnabled=(bool, True),
            editEnabled=(bool, False),
            renameEnabled=(bool, False),
            noneDisplay=(str, "None"),
            nodeTypes=(list, []),
            selectNodeUponCreation=(bool, True),
            interactionNodeSingletonTag=(str, "Singleton"),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QComboBox()
        self._combo.setMinimumContentsLength(8)
        self._combo.setSizeAdjustPolicy(QComboBox.AdjustToMinimumContentsLengthWithIcon)
        layout.addWidget(self._combo)
        self._combo.setFocusProxy(self)  # which takes no focus by default: Tab passes it by
        self._combo.connect("activated(int)", self._onActivated)
        self._scene: Any = None
        self._node: Any = None
        self._attributes: list[tuple[str, str, Any]] = []
        self._names: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._listed: list[Any] = []
        self._actions: list[tuple[str, Any]] = []
        self._sceneObserver = Observer(self._refresh)
        self._nodeObserver = Observer(self._refresh)
        self._removal: tuple[Any, int] | None = None
        self._leaving: Any = None
        self._refresh()

    # Scene and nodes

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        self._sceneObserver.clear()
        if self._removal is not None:
            self._removal[0].RemoveObserver(self._removal[1])
            self._removal = None
        self._scene = scene
        for event in ("NodeAdded", "NodeRemoved", "EndBatchProcess", "EndClose", "EndImport"):
            if scene is not None:
                self._sceneObserver.observe(scene, getattr(scene, f"{event}Event"))
        if scene is not None:
            self._removal = (
                scene,
                scene.AddObserver(scene.NodeAboutToBeRemovedEvent, _leave(self)),
            )
        self._refresh()

    def nodeCount(self) -> int:
        return len(self._listed)

    def nodeFromIndex(self, index: int) -> Any:
        return self._listed[index] if 0 <= index < len(self._listed) else None

    def currentNode(self) -> Any:
        return self._node

    def _currentNodeID(self) -> str:
        return self._node.GetID() if self._node is not None else ""

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self.setCurrentNodeID(node)
            return
        if node is not None and not node.IsA("vtkMRMLNode"):
            raise TypeError(f"setCurrentNode wants a node, not {node!r}")
        self._select(node if node in self._listed else None)

    def setCurrentNodeID(self, nodeID: str) -> None:
        node = self._scene.GetNodeByID(nodeID) if self._scene is not None and nodeID else None
        self.setCurrentNode(node)

    def setCurrentNodeIndex(self, index: int) -> None:
        self._select(self.nodeFromIndex(index))

    @property
    def currentNodeID(self) -> str:
        return self._currentNodeID()

    @currentNodeID.setter
    def currentNodeID(self, nodeID: str) -> None:
        self.setCurrentNodeID(nodeID)

    # What is listed, and what the menu offers

    def addAttribute(self, nodeType: str, name: str, value: Any = _ANY) -> None:
        self._attributes.append((nodeType, name, None if value is _ANY else str(value)))
        self._refresh()

    def removeAttribute(self, nodeType: str, name: str) -> None:
        self._attributes = [item for item in self._attributes if item[:2] != (nodeType, name)]
        self._refresh()

    @property
    def baseName(self) -> str:
        return self._names.get("", "")

    @baseName.setter
    def baseName(self, value: str) -> None:
        self._names[""] = checked(value, str, "baseName")

    def setNodeTypeLabel(self, label: str, nodeType: str) -> None:
        self._labels[nodeType] = label
        self._refresh()

    def nodeTypeLabel(self, nodeType: str) -> str:
        return self._labels.get(nodeType) or self._tag(nodeType)

    def addMenuAction(self, newAction: Any) -> None:
        self._actions.append((newAction.text, newAction.trigger))
        self._refresh()

    def addNode(self, nodeType: str = "") -> Any:
        nodeType = nodeType or self.nodeTypes[0]
        if nodeType not in self.nodeTypes:
            return None
        name = self._names.get(nodeType) or self._names.get("") or self._tag(nodeType)
        node = self._scene.AddNewNodeByClass(nodeType, self._scene.GenerateUniqueName(name))
        for kind, attribute, value in self._attributes:
            if node.IsA(kind):
                node.SetAttribute(attribute, value)
        self._refresh()
        if self.selectNodeUponCreation:
            self._select(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        if self._node is not None:
            self._scene.RemoveNode(self._node)

    def renameCurrentNode(self) -> None:
        if self._node is None:
            return
        name = QInputDialog.getText(
            self, "Rename", "New name:", QLineEdit.Normal, self._node.GetName()
        )
        if name:
            self._node.SetName(name)

    def _changed(self, name: str) -> None:
        self._refresh()

    def _tag(self, nodeType: str) -> str:
        return self._scene.GetTagByClassName(nodeType) if self._scene is not None else "Node"

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        kinds = self.nodeTypes
        if self.showChildNodeTypes:
            fits = any(node.IsA(kind) for kind in kinds)
            fits = fits and not any(node.IsA(kind) for kind in self.hideChildNodeTypes)
        else:
            fits = node.GetClassName() in kinds
        return fits and all(
            (node.GetAttribute(name) is not None if value is None
             else (node.GetAttribute(name) or "") == value)
            for kind, name, value in self._attributes
            if node.IsA(kind)
        )  # fmt: skip

    def _refresh(self) -> None:
        if self._scene is not None and self._scene.IsBatchProcessing():
            return
        if self._leaving is not None and self._leaving.GetScene() is None:
            self._leaving = None
        before = self._listed
        self._nodeObserver.clear()
        self._listed = []
        if self._scene is not None and self.nodeTypes:
            count = self._scene.GetNumberOfNodes()
            everything = [self._scene.GetNthNode(n) for n in range(count)]
            for node in everything:
                if any(node.IsA(kind) for kind in self.nodeTypes):
                    self._nodeObserver.observe(node, vtk.vtkCommand.ModifiedEvent)
            self._listed = [
                node for node in everything if node is not self._leaving and self._fits(node)
            ]
        self._combo.setEnabled(self._scene is not None)
        node = self._node if self._node in self._listed else None
        if (
            node is None
            and not self.noneEnabled
            and self._listed
            and (self._node is not None or not before)
        ):
            node = self._listed[0]
        self._fill(node)
        for new in self._listed:
            if new not in before:
                self.nodeAdded.emit(new)
        self._select(node)

    def _leave(self, node: Any) -> None:
        """A node is about to be removed: as in a QComboBox, the row above becomes the chosen one.

        It does so although nobody has chosen it, and before the node is gone.
        """
        if node not in self._listed or self._scene.IsBatchProcessing():
            return
        first = 1 if self.noneEnabled else 0
        row = self._listed.index(node) + first
        was_chosen = node is self._node
        self._leaving = node
        self._listed.remove(node)
        if was_chosen:
            self._select(self.nodeFromIndex(max(row - 1, 0) - first))
        else:
            self._fill(self._node)

    def _menu(self) -> list[tuple[str, Any]]:
        kinds = self.nodeTypes
        items: list[tuple[str, Any]] = []
        node = self._node
        if self.renameEnabled and node is not None:
            items.append((f"Rename current {self.nodeTypeLabel(kinds[0])}", self.renameCurrentNode))
        if self.addEnabled:
            for kind in kinds:
                items.append((
                    f"Create new {self.nodeTypeLabel(kind)}", lambda kind=kind: self.addNode(kind)
                ))  # fmt: skip
        if self.removeEnabled and node is not None:
            items.append((f"Delete current {self.nodeTypeLabel(kinds[0])}", self.removeCurrentNode))
        return items + self._actions

    def _fill(self, node: Any) -> None:
        rows = ([(self.noneDisplay, None)] if self.noneEnabled else []) + [
            (item.GetName() or "", item) for item in self._listed
        ]
        self._combo.blockSignals(True)
        self._combo.clear()
        for text, _ in rows:
            self._combo.addItem(text)
        menu = self._menu()
        if menu:
            self._combo.insertSeparator(len(rows))
            for text, _ in menu:
                self._combo.addItem(text)
        current = next((row for row, (_, item) in enumerate(rows) if item is node), -1)
        self._combo.setCurrentIndex(current)
        if current < 0 and self.nodeTypes:
            self._combo.setPlaceholderText(f"Select a {self.nodeTypeLabel(self.nodeTypes[0])}")
        self._combo.blockSignals(False)

    def _select(self, node: Any) -> None:
        changed = node is not self._node
        self._node = node
        self._fill(node)
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(self._currentNodeID())

    def _onActivated(self, row: int) -> None:
        first = 1 if self.noneEnabled else 0
        if row < first + len(self._listed):
            node = self.nodeFromIndex(row - first)
            self._select(node)
            self.nodeActivated.emit(node)
            return
        text = self._combo.itemText(row)
        action = next((call for label, call in self._menu() if label == text), None)
        self._fill(self._node)
        if action is not None:
            action()
