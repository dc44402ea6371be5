"""The exception for errors that the user can correct."""


class UserError(Exception):
    """An error in the user's input: options, lists, audio, configuration, environment.

    The message is one line (or a short list) that says what is wrong, where (file and line, key), and what to do.
    Scripts print it without a traceback and exit with 1; see :func:`utils.cli.run_main`.
    """
