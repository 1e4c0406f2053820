"""The errors that the command line reports in one line."""


class UserError(Exception):
    """Something that the user can put right: a file, an option, a text."""


class TrainingError(Exception):
    """Training or saving failed although everything asked for was in order."""
