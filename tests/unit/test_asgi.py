"""The HTTP edge on a real socket of the loopback, asked by boto3 and by bare HTTP."""

import asyncio
import http.client
import re
import signal
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, repeat

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.types import Scope

from openami.server import asgi, http_protocol
from openami.server.asgi import create_app
from openami.server.pipeline import Answer
from openami.server.serve import listen, serve
from openami.settings import Settings
from openami.wire.sigv4 import SignedRequest
from support.front_desk import ACCOUNT, FrontDesk, front_desk
from support.signing import KEY_ID, SECRET

DEADLINE_S = 60.0


class RealClock:
    """boto3 signs by the real time."""

    def now(self) -> datetime:
        return datetime.now(UTC)  # noqa: TID251


@dataclass
class Running:
    desk: FrontDesk
    port: int

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, response.read()
        finally:
            connection.close()

    def client(self, service: str, secret: str = SECRET) -> object:
        return boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=secret,
            config=Config(retries={"max_attempts": 0}, proxies={}),
        )


@contextmanager
def running() -> Iterator[Running]:
    settings = Settings(port=0, request_bytes_max=64 * 1024)
    desk = front_desk(settings)
    object.__setattr__(desk, "clock", RealClock())
    listener, ready, stop = listen(settings), threading.Event(), threading.Event()
    port = listener.getsockname()[1]
    server = threading.Thread(
        target=lambda: serve(create_app(desk), settings, ready.set, listener=listener, stop=stop)
    )
    server.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield Running(desk, port)
    finally:
        stop.set()
        server.join(DEADLINE_S)
        desk.catalog.close()
        assert not server.is_alive()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as made:
        yield made


def test_boto3_learns_who_it_is(server: Running) -> None:
    client = server.client("sts")
    try:
        identity = client.get_caller_identity()
    finally:
        client.close()
    assert identity["Account"] == ACCOUNT
    headers = identity["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "text/xml;charset=UTF-8"
    assert headers["x-amzn-requestid"] == identity["ResponseMetadata"]["RequestId"]


def test_boto3_reads_the_refusals_of_ec2_and_of_sts(server: Running) -> None:
    for service, call in (("ec2", "describe_fleets"), ("sts", "get_session_token")):
        client = server.client(service)
        with pytest.raises(ClientError) as refused:
            getattr(client, call)()
        client.close()
        assert refused.value.response["Error"]["Code"] == "InvalidAction"
        assert "not supported by openami" in refused.value.response["Error"]["Message"]


def test_a_wrong_secret_does_not_get_in(server: Running) -> None:
    client = server.client("ec2", secret="guess")
    with pytest.raises(ClientError) as refused:
        client.describe_images()
    client.close()
    assert refused.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("POST", "/"), ("GET", "/index.html"), ("DELETE", "/x"), ("OPTIONS", "/%2e%2e")],
)
def test_whatever_is_asked_the_answer_is_ec2s_xml(server: Running, method: str, path: str) -> None:
    status, headers, body = server.ask(method, path)
    assert status == 403
    assert headers["content-type"] == "text/xml;charset=UTF-8"
    assert b"<Code>MissingAuthenticationToken</Code>" in body


def test_health_needs_no_signature(server: Running) -> None:
    status, _, body = server.ask("GET", "/openami/health")
    assert (status, body) == (200, b"ok\n")


@pytest.mark.parametrize("length", [64 * 1024 + 1, 5 * 1024 * 1024])
def test_a_body_that_is_too_long_is_refused_in_xml(server: Running, length: int) -> None:
    status, headers, body = server.ask("POST", "/", b"x" * length)
    assert (status, headers["connection"]) == (413, "close")
    assert b"<Code>RequestEntityTooLarge</Code>" in body


def test_the_longest_body_is_not_refused_for_its_length(server: Running) -> None:
    assert server.ask("POST", "/", b"x" * 64 * 1024)[0] == 403


def test_a_body_that_never_comes_is_given_up(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "BODY_TIMEOUT_S", 0.05)
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert connection.recv(64).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("beginning", [b"", b"GET", b"GET /openami/health HTTP/1.1\r\nHost: x\r\n"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_connection_that_sends_no_head_is_not_kept(
    server: Running, monkeypatch: pytest.MonkeyPatch, beginning: bytes, is_first: bool
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_TIMEOUT_S", 0.2)
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        if not is_first:
            client.sendall(b"GET /openami/health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 " in client.recv(65536)
            beginning = beginning or b"\r\n"
        client.sendall(beginning)
        while client.recv(65536):  # a time-out fails
            pass


def test_an_answer_that_has_nothing_to_say_has_no_length(server: Running) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: MutableMapping[str, object]) -> None:
        sent.append(dict(message))

    asyncio.run(asgi._send(Answer(status=204, headers={}, body=b""), send))
    assert sent[0]["headers"] == []


def test_what_follows_a_body_is_no_header(server: Running) -> None:
    """Whoever looks at the head before us has not seen it."""
    request = (
        b"GET /openami/health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\nX-Late: x\r\n\r\n"
    )
    seen: list[Mapping[str, str]] = []
    with pytest.MonkeyPatch.context() as patched:
        real = asgi._head

        def looked_at(scope: Scope) -> SignedRequest:
            seen.append(real(scope).headers)
            return real(scope)

        patched.setattr(asgi, "_head", looked_at)
        with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
            client.sendall(request)
            assert b" 200 " in client.recv(65536)
    assert [set(each) for each in seen] == [{"host", "transfer-encoding"}]


def test_a_client_that_hangs_up_leaves_the_server_standing(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert server.ask("GET", "/openami/health")[0] == 200


def until_closed(port: int, parts: Iterable[bytes]) -> bytes:
    """What is answered to `parts`, sent for as long as the server takes them."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        answer = bytearray()
        with suppress(ConnectionError):  # closed while we send: what came before still counts
            for part in parts:
                connection.sendall(part)
        with suppress(ConnectionError):
            while more := connection.recv(64 * 1024):
                answer += more
        return bytes(answer)


HEAD = b"GET /openami/health HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "beginning",
    [
        b"GET /",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
    ],
)
def test_a_head_without_an_end_is_not_kept(server: Running, beginning: bytes) -> None:
    endless = chain([beginning], repeat(b"x" * 16 * 1024, 4096))
    answer = until_closed(server.port, endless)
    # Who is cut off while it sends may be told nothing but that.
    assert not answer or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert server.ask("GET", "/openami/health")[0] == 200


def test_a_head_of_many_long_headers_is_heard(server: Running) -> None:
    filling = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(40))
    answer = until_closed(server.port, [HEAD, filling, b"Connection: close\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"ok\n")


def test_requests_sent_at_once_are_answered_in_their_order(server: Running) -> None:
    first, last = HEAD + b"\r\n", b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = until_closed(server.port, [first * 3 + last])
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"403"]


def test_requests_that_nobody_waits_for_are_not_queued_without_end(server: Running) -> None:
    many = 20_000
    answer = until_closed(server.port, [(HEAD + b"\r\n") * many])
    assert answer.count(b"HTTP/1.1 200") < many
    assert server.ask("GET", "/openami/health")[0] == 200


def test_an_offer_to_speak_another_protocol_is_passed_over(server: Running) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with socket.create_connection(("127.0.0.1", server.port), DEADLINE_S) as connection:
        for _ in range(2):  # the connection stays good
            asked = b"POST / HTTP/1.1\r\nHost: x\r\n" + offer + b"Content-Length: 3\r\n\r\nA=B"
            connection.sendall(asked)
            answer = bytearray()
            while b"</Response>" not in answer:
                more = connection.recv(64 * 1024)
                assert more, answer
                answer += more
            assert answer.startswith(b"HTTP/1.1 403")


def test_a_port_that_is_taken_is_an_error_and_not_an_exit(server: Running) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        serve(create_app(server.desk), Settings(port=server.port), lambda: None)


def test_sigterm_ends_serving_and_not_the_process() -> None:
    before = signal.getsignal(signal.SIGTERM)
    settings = Settings(port=0)
    desk = front_desk(settings)
    serve(
        create_app(desk),
        settings,
        lambda: signal.raise_signal(signal.SIGTERM),
    )
    desk.catalog.close()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_request_that_is_under_way_is_finished_before_the_server_stops() -> None:
    entered, release = threading.Event(), threading.Event()
    with running() as server:
        desk = server.desk

        class SlowIds:
            def request_id(self) -> str:
                entered.set()
                assert release.wait(DEADLINE_S)
                return "req-slow"

        object.__setattr__(desk, "ids", SlowIds())
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(server.ask("GET", "/")[0]))
        asking.start()
        assert entered.wait(DEADLINE_S)
        threading.Timer(0.2, release.set).start()
    asking.join(DEADLINE_S)
    assert answers == [403]
