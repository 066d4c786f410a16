"""Training windows of the propagate family: parallel slices of which some are known."""
