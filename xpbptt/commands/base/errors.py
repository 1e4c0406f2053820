"""The errors that the command line reports in one line."""


class UserError(Exception):
    """Something that the user can put right: a file, an option, a text."""


class TrainingError(Exception):
    """Training or saving failed although everything asked for was in order."""


class NotFiniteError(TrainingError):
    """The loss or a number of the model is not finite.

    Parameters
    ----------
    what : str
        What is not.
    step : int
        The number of steps since the model was made.
    """

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} not finite after step {step}")
