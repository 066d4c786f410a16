"""A scripted effect in miniature, on which the stand-in's Segment Editor is tested."""

from .NotedEffect import CALLS, NotedEffect

__all__ = ["CALLS", "NotedEffect"]
