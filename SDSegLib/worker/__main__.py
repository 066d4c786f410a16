"""`python -m SDSegLib.worker` is the child process; the client starts it and speaks with it."""

from .server import main

if __name__ == "__main__":
    main()
