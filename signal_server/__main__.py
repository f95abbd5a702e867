"""``python -m signal_server`` is ``rtcsend-server``."""

from signal_server.cli import run

if __name__ == "__main__":
    run()
