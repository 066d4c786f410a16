"""The parts of the SDSeg module's window and logic; computation is in SDSegLib."""
