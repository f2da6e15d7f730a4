"""What the wire itself refuses, before any handler has seen the request.

The wire knows no openami noun, so it cannot raise the domain's errors; the request
pipeline tells both kinds in the same XML. Codes and sentences:
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""


class WireRefusal(Exception):
    """A request that cannot be accepted: an error code, a sentence and an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
