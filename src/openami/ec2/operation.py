"""EC2's door is like all others: see openami.doors.operation."""

from openami.doors.operation import Handler, Operation, Request, Result, only, operation

__all__ = ["Handler", "Operation", "Request", "Result", "only", "operation"]
