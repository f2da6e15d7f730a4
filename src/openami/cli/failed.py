"""How a verb fails. It stands alone, so that the command line starts without what verbs need."""


class CommandFailed(Exception):
    """The verb could not do what was asked; the message is for the operator."""
