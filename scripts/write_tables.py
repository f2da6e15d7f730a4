"""Write the tables that are made from the code: the operations in the README."""

import sys
from pathlib import Path

from openami.ec2.operations import OPERATIONS as EC2_OPERATIONS
from openami.sts.operations import OPERATIONS as STS_OPERATIONS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- operations: written by make docs -->", "<!-- end of operations -->"


def operations_table() -> str:
    """One line per operation answered, with a link to its page and what is only partly there."""
    lines = ["| Operation | What is not as in EC2 |", "|---|---|"]
    for name in sorted({**EC2_OPERATIONS, **STS_OPERATIONS}):
        operation = EC2_OPERATIONS.get(name)
        partly = operation.partly if operation is not None else ""
        lines.append(f"| [{name}](docs/operations/{name}.md) | {partly} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """`text` with the table between its two marks replaced by today's."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{operations_table()}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    sys.stdout.write("README.md: the table of operations is up to date\n")
