"""The same pipeline and scene as in 3D Slicer, on a local web page made with trame-slicer."""
