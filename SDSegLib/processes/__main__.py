"""`python -m SDSegLib.processes` is the child process that reads files for `guard`."""

from .reader import main

if __name__ == "__main__":
    main()
