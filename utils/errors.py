"""The one exception that means "the user can fix this"."""


class UserError(Exception):
    """A mistake in what the user gave us: options, lists, audio, configuration, environment.

    The message is the whole report: one line (or a short list) that says what is wrong, where
    (file and line, key), and what to do. Scripts print it without a traceback and exit with 1;
    see :func:`utils.cli.run_main`.
    """
