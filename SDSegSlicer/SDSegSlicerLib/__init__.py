"""The parts of the SDSeg module's window and logic; the library it draws is SDSegLib."""
