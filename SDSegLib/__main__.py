"""`python -m SDSegLib` is the `sdseg` command."""

from .cli.app import main

if __name__ == "__main__":
    main()
