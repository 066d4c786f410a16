"""The page in the browser: segmentation, review and editing on this computer, with trame-slicer."""
