"""python -m adderhw.sweep: see quant/sweep_command.py, which this module loads only when it runs."""

from adderhw.command_line import run_app


def main() -> None:
    """Entry point of `python -m adderhw.sweep` and `adderhw-sweep`."""
    from quant.sweep_command import PROGRAM, app

    run_app(app, PROGRAM, interrupted="interrupted; the store has what was measured")


if __name__ == "__main__":
    main()
