"""The command `callback-scheduler`, and `python -m scheduler`."""

from scheduler.commands.signals import end_at_once_on_signals


def main() -> None:
    """Run the command line; ends the process, whatever becomes of it, and without a traceback from its first moment."""
    # Importing the commands takes a while, in which Ctrl-C would show where the import was.
    end_at_once_on_signals()
    from scheduler.commands.app import main as run_command_line  # noqa: PLC0415  see above

    run_command_line()


if __name__ == "__main__":
    main()
