"""``python -m streamhebb`` and the command ``streamhebb``."""

from __future__ import annotations

from streamhebb.cli import app


def main() -> None:
    """Run the command line."""
    app(prog_name="streamhebb")


if __name__ == "__main__":
    main()
