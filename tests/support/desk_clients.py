"""boto3's own clients at the request pipeline, without a socket."""

from collections.abc import Mapping
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from openami.server import pipeline
from support.front_desk import FrontDesk
from support.model_check import watch
from support.signing import HOST, KEY_ID, SECRET, as_received, signed_at

SESSION = boto3.Session()


class _Body:
    """As much of urllib3's response as botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def read(self, _amount: int | None = None) -> bytes:
        return self._body

    def stream(self, **_: Any) -> Any:
        yield self._body


def desk_client(
    desk: FrontDesk, service: str, doors: Mapping[str, Mapping[str, Any]], secret: str = SECRET
) -> Any:
    """A client whose requests are answered by `doors` in this process."""
    client: Any = SESSION.client(
        service,
        region_name="us-east-1",
        endpoint_url=f"http://{HOST}",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body = request.body or b""
        headers = {
            name: value.decode() if isinstance(value, bytes) else value
            for name, value in request.headers.items()
        }
        request.headers.clear()
        request.headers.update(headers)
        received = as_received(request, body if isinstance(body, bytes) else body.encode())
        desk.clock.instant = signed_at(received)
        answer = pipeline.answer(desk, received, doors)
        return AWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))

    client.meta.events.register("before-send", send)
    return watch(client)
