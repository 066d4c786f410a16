"""`python -m SDSegLib` is the `sdseg` command."""

from .cli.start import main

if __name__ == "__main__":
    main()
