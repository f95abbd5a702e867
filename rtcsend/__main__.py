"""``python -m rtcsend``: the same as the command ``rtcsend``."""

from rtcsend.cli.start import run

if __name__ == "__main__":
    run()
