"""``python -m shoal.lab``: the lab's commands by themselves."""

import sys

from shoal.errors import ShoalError
from shoal.lab.cli import app


def main() -> None:
    """Run a command; an error of ours goes to standard error, its class sets the exit status."""
    try:
        app(prog_name="shoal lab")
    except ShoalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
