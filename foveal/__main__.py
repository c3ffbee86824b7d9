"""`python -m foveal`, for where the command itself is not on the path."""

from foveal.cli import main

if __name__ == "__main__":
    main()
