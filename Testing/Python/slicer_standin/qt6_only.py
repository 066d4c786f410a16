"""Names that PySide6 has and Qt 5.15, of 3D Slicer's official builds, has not."""

from __future__ import annotations

from typing import Any, NoReturn

NAMES = {
    "QAbstractItemView": "itemDelegateForIndex keyboardSearchFlags setKeyboardSearchFlags "
    "setUpdateThreshold updateThreshold",
    "QAction": "associatedObjects resetEnabled",
    "QByteArray": "assign erase first isValidUtf8 last max_size nullTerminate nullTerminated "
    "percentDecoded removeAt removeFirst removeLast resizeForOverwrite slice sliced",
    "QCheckBox": "checkStateChanged",
    "QColor": "fromString isValidColorName",
    "QComboBox": "labelDrawingMode setLabelDrawingMode",
    "QCoreApplication": "checkPermission requestPermission",
    "QDockWidget": "dockLocation setDockLocation",
    "QDropEvent": "buttons modifiers position",
    "QFileInfo": "isAlias isOther junctionTarget readSymLink",
    "QFont": "clearFeatures featureTags featureValue setFeature setVariableAxis unsetFeature "
    "legacyWeight setLegacyWeight",
    "QFormLayout": "isRowVisible setRowVisible",
    "QGuiApplication": "setBadgeNumber",
    "QHeaderView": "isSortIndicatorClearable setSortIndicatorClearable "
    "sortIndicatorClearableChanged",
    "QImage": "applyColorTransform colorTransformed convertedTo detachMetadata "
    "deviceIndependentSize flip flipped",
    "QLayout": "horizontalSizeConstraint setHorizontalSizeConstraint setSizeConstraints "
    "setVerticalSizeConstraint verticalSizeConstraint",
    "QListWidget": "setSupportedDragActions supportedDragActions",
    "QLocale": "codeToCountry codeToLanguage codeToScript codeToTerritory countryToCode "
    "nativeTerritoryName territory territoryToCode territoryToString",
    "QMargins": "toMarginsF",
    "QMenu": "menuInAction",
    "QMessageBox": "options setOption setOptions testOption",
    "QPalette": "accent",
    "QPixmap": "deviceIndependentSize",
    "QPoint": "toPointF",
    "QRect": "span toRectF",
    "QRegularExpression": "fromWildcard globalMatchView matchView",
    "QShortcut": "keys setKeys",
    "QSignalBlocker": "dismiss",
    "QSinglePointEvent": "globalPosition position scenePosition",
    "QSize": "toSizeF",
    "QSortFilterProxyModel": "autoAcceptChildRows beginFilterChange endFilterChange "
    "invalidateColumnsFilter invalidateRowsFilter setAutoAcceptChildRows",
    "QStyle": "name",
    "QTableWidget": "setSupportedDragActions supportedDragActions",
    "QTextDocument": "baselineOffset isLayoutEnabled setBaselineOffset setLayoutEnabled",
    "QThread": "isCurrentThread isMainThread serviceLevel setServiceLevel",
    "QTimer": "intervalAsDuration remainingTimeAsDuration",
    "QTreeView": "itemDecorationRect",
    "QTreeWidget": "setSupportedDragActions supportedDragActions",
    "QWidget": "accessibleIdentifier setAccessibleIdentifier setScreen",
}


class _Missing:
    """In the place of a name that is not there."""

    def __init__(self, owner: str, name: str) -> None:
        self.text = f"'{owner}' has no attribute '{name}' in Qt 5.15; it came with Qt 6"

    def __get__(self, instance: Any, owner: type | None = None) -> NoReturn:
        raise AttributeError(self.text)

    def __set__(self, instance: Any, value: Any) -> NoReturn:
        raise AttributeError(self.text)


def hide_names_of_qt6(classes: list[type]) -> None:
    """Let every name of `NAMES` raise an `AttributeError`."""
    known = {cls.__name__: cls for cls in classes}
    for owner, names in NAMES.items():
        for name in names.split():
            if owner in known and name in vars(known[owner]):
                setattr(known[owner], name, _Missing(owner, name))
