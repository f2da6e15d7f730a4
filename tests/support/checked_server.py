"""The openami command whose server holds each of its answers against botocore's model.

What it finds goes to a file before the answer goes out, so that it is found whoever asked, boto3,
the aws CLI, Terraform or Packer, and however soon the server is killed. S3's answers are the
store's own, and pass as they are.

    python -m support.checked_server FAULTS_FILE --state-dir … serve …
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.model import OperationModel

from openami.cli.main import main
from openami.server import pipeline
from openami.server.pipeline import Answer
from openami.wire import form, json_calls, models, sigv4
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import Claim, SignedRequest
from support.model_check import answer_faults

Answering = Callable[[Any, SignedRequest], Answer]


def checked(answer: Answering, faults_file: Path) -> Answering:
    """The same answers; what is wrong with them is in the file, a line each."""

    def answer_and_look(svc: Any, request: SignedRequest) -> Answer:
        answered = answer(svc, request)
        for fault in faults_in(request, answered):
            _append(faults_file, fault)
        return answered

    return answer_and_look


def faults_in(request: SignedRequest, answer: Answer) -> list[str]:
    """Each names the operation and who asked. An answer that cannot be read at all is one, too."""
    model = _asked(request)
    try:
        found = list(answer_faults(answer.status, answer.body, model))
    except Exception as unreadable:  # noqa: BLE001, whatever the check trips over is wrong
        found = [f"{type(unreadable).__name__}: {unreadable} in {answer.body[:200]!r}"]
    client = request.headers.get("user-agent", "?").partition(" ")[0]
    name = f"{model.service_model.service_name} {model.name}"
    return [f"{name}, asked by {client}: {fault}" for fault in found]


def _asked(request: SignedRequest) -> OperationModel:
    """The operation; of what nobody can read, any of its service: a refusal has no other form."""
    service, name = "ec2", ""
    with suppress(WireRefusal):
        claim = sigv4.read(request)
        if claim.service in pipeline.FRONT_DOORS:
            service = claim.service
            name = _named(request, claim)
    known = models.operation_names(service)
    return models.operation(service, name if name in known else min(known))


def _named(request: SignedRequest, claim: Claim) -> str:
    if models.metadata(claim.service)["protocol"] in json_calls.PROTOCOLS:
        signed = json_calls.signed_part(request, claim)
        return json_calls.called(claim.service, signed).operation
    return form.decode(request.query, request.body).get("Action", "")


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(line + "\n")


def run() -> int:
    pipeline.answer = checked(pipeline.answer, Path(sys.argv[1]))
    return main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(run())
