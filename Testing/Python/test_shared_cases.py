"""Damaged image files that once crashed the process, hung, or gave wrong voxels without a word.

Each is made here from a good file by the change that its name says.
"""
