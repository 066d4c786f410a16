"""Signals as PythonQt has them: by name or by signature, and callables get what they can take."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import SIGNAL, QMetaMethod, QMetaObject, QObject, Signal
from shiboken6 import Shiboken

_connect = QObject.connect
_disconnect = QObject.disconnect

# Forwarders by address of the sender, signature and callable, so that they can be disconnected.
_forwarders: dict[tuple[int, str, Any], list[Any]] = {}


def fitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that passes on only as many arguments as a Python function takes.

    Defaults count as arguments, as with PythonQt: `lambda name=name: …` on "clicked(bool)" gets
    the bool. Other callables get everything.
    """
    if not callable(function):
        raise TypeError(f"A signal needs something to call, not {function!r}")
    plain = getattr(function, "__func__", function)
    count: int | None = None
    if isinstance(plain, types.FunctionType):
        code = plain.__code__
        if not code.co_flags & 0x04:  # *args
            count = code.co_argcount - (plain is not function)
    return lambda *values: function(*values[:count])


class QtSignal:
    """A signal of Qt itself, in the place of PySide's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundQtSignal(instance, self.name)


class BoundQtSignal:
    """`button.clicked`, to connect to: the signal of that name with all of its arguments."""

    def __init__(self, sender: Any, name: str) -> None:
        self._sender = sender
        meta = sender.metaObject()
        methods = (meta.method(number) for number in range(meta.methodCount()))
        self._signature = next(
            bytes(method.methodSignature().data()).decode()
            for method in methods
            if method.name() == name and method.methodType() == QMetaMethod.Signal
        )

    def connect(self, function: Callable[..., Any]) -> bool:
        return connect(self._sender, self._signature, function)

    def disconnect(self, function: Callable[..., Any]) -> bool:
        return disconnect(self._sender, self._signature, function)


class StandinSignal:
    """A signal of a class that is written here, by its C++ signature.

    A class may have several of one name: pass all signatures, the one with arguments first.
    """

    def __init__(self, *signatures: str) -> None:
        self.signatures = tuple(normalized(signature) for signature in signatures)

    def __set_name__(self, owner: type, name: str) -> None:
        for signature in self.signatures:
            assert signature.startswith(f"{name}("), f"{owner.__name__}.{name}: {signature}"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundStandinSignal(instance, self)


class BoundStandinSignal:
    """A signal of one object, to connect to and, in the class itself, to emit."""

    def __init__(self, sender: Any, signal: StandinSignal) -> None:
        self._sender, self._signal = sender, signal
        store = sender.__dict__.setdefault("_standin_connections", {})
        self._connections = store.setdefault(signal.signatures[0], [])

    def connect(self, function: Callable[..., Any], signature: str | None = None) -> bool:
        """Connect to the first signature, or to another of the same name."""
        forward, first = fitted(function), self._signal.signatures[0]
        if signature is not None and signature.endswith("()"):
            call = lambda *values: forward()  # noqa: E731
        elif signature is not None and signature.endswith("(bool)") and signature != first:
            call = lambda value: forward(value is not None)  # noqa: E731
        else:
            call = forward
        self._connections.append((function, call))
        return True

    def disconnect(self, function: Callable[..., Any]) -> bool:
        for entry in self._connections:
            if entry[0] == function:
                self._connections.remove(entry)
                return True
        raise AttributeError(f"{self._signal.signatures[0]} is not connected to {function!r}")

    def emit(self, *values: Any) -> None:
        blocked = getattr(self._sender, "signalsBlocked", None)
        if blocked is not None and blocked():
            return
        for _, forward in list(self._connections):
            forward(*values)


def normalized(signature: str) -> str:
    """A signature without spaces, `const` and references, as Qt compares them."""
    if not isinstance(signature, str):
        raise TypeError(f"Expected a signature such as 'clicked(bool)', not {signature!r}")
    return bytes(QMetaObject.normalizedSignature(signature).data()).decode()


def find_signal(sender: Any, signature: str) -> StandinSignal | None:
    """The stand-in's own signal of that signature; None if it is one of Qt's.

    Raises:
        AttributeError: If the object has no such signal.
    """
    text = normalized(signature)
    own = getattr(type(sender), text.partition("(")[0], None)
    if isinstance(own, StandinSignal) and text in own.signatures:
        return own
    meta = sender.metaObject() if isinstance(sender, QObject) else None
    if meta is None or meta.indexOfSignal(text) < 0:
        raise AttributeError(f"{type(sender).__name__} has no signal '{signature}'")
    return None


def connect(sender: Any, signature: str, *target: Any) -> bool:
    """`sender.connect("clicked(bool)", function)` or `(…, receiver, "slot(bool)")`."""
    function = _function(*target)
    own = find_signal(sender, signature)
    text = normalized(signature)
    if own is not None:
        return BoundStandinSignal(sender, own).connect(function, text)
    forward = fitted(function)
    if not _connect(sender, SIGNAL(text), forward):
        raise AttributeError(f"{type(sender).__name__} cannot connect '{signature}'")
    _remember(sender, text, function, forward)
    return True


def disconnect(sender: Any, signature: str, *target: Any) -> bool:
    """The reverse of `connect`."""
    function = _function(*target)
    own = find_signal(sender, signature)
    if own is not None:
        return BoundStandinSignal(sender, own).disconnect(function)
    text = normalized(signature)
    return bool(_disconnect(sender, SIGNAL(text), _forget(sender, text, function)))


def install_signals(classes: list[type]) -> None:
    """Give Qt's classes PythonQt's signals, `connect` and `disconnect`."""
    for cls in classes:
        for name, value in list(vars(cls).items()):
            if type(value) is Signal:  # isinstance() here loses references of False
                setattr(cls, name, QtSignal(name))
    _give_methods(QObject)
    # PySide looks into an object's own class, and then at its own `connect` before base classes.
    QObject.__init_subclass__ = classmethod(_on_new_class)


def _give_methods(cls: Any) -> None:
    cls.connect, cls.disconnect = connect, disconnect


def _on_new_class(cls: type, **options: Any) -> None:
    super(QObject, cls).__init_subclass__(**options)
    _give_methods(cls)


def _function(*target: Any) -> Callable[..., Any]:
    if len(target) == 1:
        return target[0]
    receiver, slot = target
    name = normalized(slot).partition("(")[0]
    function = getattr(receiver, name, None)
    if not callable(function) and not isinstance(function, BoundStandinSignal):
        raise AttributeError(f"{type(receiver).__name__} has no slot '{slot}'")
    return function.emit if isinstance(function, BoundStandinSignal) else function


def _remember(sender: Any, signal: str, function: Any, forward: Any) -> None:
    address = Shiboken.getCppPointer(sender)[0]
    if not any(key[0] == address for key in list(_forwarders)):
        _connect(sender, SIGNAL("destroyed()"), lambda: _drop(address))
    _forwarders.setdefault((address, signal, function), []).append(forward)


def _forget(sender: Any, signal: str, function: Any) -> Any:
    known = _forwarders.get((Shiboken.getCppPointer(sender)[0], signal, function))
    if not known:
        raise AttributeError(f"'{signal}' of {type(sender).__name__} is not connected to that")
    return known.pop()


def _drop(address: int) -> None:
    for key in [key for key in _forwarders if key[0] == address]:
        del _forwarders[key]
