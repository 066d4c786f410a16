"""Teach: a model for one's own structures from a few corrected cases, within a given time.

cases -> plan (grid, folds, minutes) -> start (weights, label numbers) -> learning -> measure
(left-out cases, before and after) -> model folder and report. Importing this package imports
neither PyTorch nor Lightning.
"""
