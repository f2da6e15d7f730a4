"""Write the tables that are made from the code: the operations in the README."""

import sys
from pathlib import Path

from openami.server.pipeline import FRONT_DOORS

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- operations: written by make docs -->", "<!-- end of operations -->"


# EC2's and STS's pages lie in docs/operations itself, those of other services in folders of it.
NAMES = {
    "ssm": "Systems Manager, parameters (`ssm`)",
    "dlm": "Data Lifecycle Manager (`dlm`)",
    "rbin": "Recycle Bin (`rbin`)",
    "ebs": "EBS direct APIs (`ebs`)",
}


def page_of(service: str, operation: str) -> str:
    """The operation's page, as a path below docs/operations."""
    return f"{operation}.md" if service in ("ec2", "sts") else f"{service}/{operation}.md"


def operations_table() -> str:
    """One line per operation answered, with a link to its page and what is only partly there."""
    parts = [_table("Operation", ["ec2", "sts"])]
    parts += [
        _table(NAMES.get(service, service), [service])
        for service, operations in FRONT_DOORS.items()
        if service not in ("ec2", "sts") and operations
    ]
    return "\n\n".join(parts)


def _table(title: str, services: list[str]) -> str:
    lines = [f"| {title} | What is not as in AWS |", "|---|---|"]
    found = {name: (each, door) for each in services for name, door in FRONT_DOORS[each].items()}
    for name, (service, operation) in sorted(found.items()):
        partly = getattr(operation, "partly", "")
        lines.append(f"| [{name}](docs/operations/{page_of(service, name)}) | {partly} |")
    return "\n".join(lines)


def with_table(text: str) -> str:
    """`text` with the table between its two marks replaced by today's."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{operations_table()}\n{END}{tail}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    sys.stdout.write("README.md: the table of operations is up to date\n")
