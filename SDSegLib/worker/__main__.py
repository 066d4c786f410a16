"""`python -m SDSegLib.worker` is the child process that the client starts."""

from .server import main

if __name__ == "__main__":
    main()
