"""Over loopback: what a guest sees of HTTP, without a guest."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.domain.ids import InstanceId
from openami.domain.metadata import HttpTokens, Metadata, MetadataOptions, Switch
from openami.imds.http import BadRequest, parse_head
from openami.imds.rate import BURST, REQUESTS_PER_S
from openami.imds.service import CONNECTIONS_PER_INSTANCE_MAX, MetadataService
from support.metadata import CountingIds, StoppedClock, a_metadata
from support.waiting import until

ONE, OTHER = InstanceId("i-0123456789abcdef0"), InstanceId("i-0123456789abcdef1")
PATH = "/latest/meta-data/instance-id"
TOKEN = "X-aws-ec2-metadata-token"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"


@dataclass
class Reply:
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass
class Imds:
    """The service with its instances' addresses, and their metadata to change."""

    service: MetadataService
    known: dict[InstanceId, Metadata]
    clock: StoppedClock
    ports: dict[InstanceId, int] = field(default_factory=dict)

    def connect(self, instance: InstanceId = ONE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.ports[instance], timeout=30)

    def ask(
        self,
        method: str = "GET",
        path: str = PATH,
        headers: dict[str, str] | None = None,
        instance: InstanceId = ONE,
    ) -> Reply:
        connection = self.connect(instance)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def token(self, ttl_s: object = 60, instance: InstanceId = ONE) -> str:
        reply = self.ask("PUT", "/latest/api/token", {TTL: str(ttl_s)}, instance)
        assert reply.status == 200
        return reply.body.decode()

    def set_options(self, **changes: object) -> None:
        self.known[ONE] = a_metadata(options=MetadataOptions(**changes))  # type: ignore[arg-type]

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.ports[ONE]), timeout=30) as one:
            one.sendall(data)
            one.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: one.recv(4096), b""))


@contextmanager
def served(secret: str = "first") -> Iterator[Imds]:
    known = {ONE: a_metadata(), OTHER: a_metadata(instance_id=OTHER)}
    clock = StoppedClock()
    service = MetadataService(known.get, clock, CountingIds(secret))
    imds = Imds(service, known, clock)
    for instance in known:
        listening = socket.create_server(("127.0.0.1", 0))
        imds.ports[instance] = listening.getsockname()[1]
        service.serve(instance, listening)
    try:
        yield imds
    finally:
        service.close()


@pytest.fixture(name="imds")
def _imds() -> Iterator[Imds]:
    with served() as imds:
        yield imds


def test_each_socket_tells_of_its_own_instance(imds: Imds) -> None:
    assert imds.ask().body == ONE.encode()
    assert imds.ask(instance=OTHER).body == OTHER.encode()


def test_a_connection_serves_many_requests_and_says_who_it_is(imds: Imds) -> None:
    connection = imds.connect()
    for _ in range(3):
        connection.request("GET", PATH)
        answer = connection.getresponse()
        assert answer.read() == ONE.encode()
        assert answer.getheader("Server") == "EC2ws"
        assert answer.getheader("Content-Type") == "text/plain"
        assert answer.getheader("Content-Length") == str(len(ONE))
    connection.close()


def test_a_head_has_the_length_but_not_the_body(imds: Imds) -> None:
    reply = imds.ask("HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(ONE))


def test_version_one_works_where_tokens_are_optional(imds: Imds) -> None:
    assert imds.ask().status == 200


def test_version_one_is_refused_where_tokens_are_required(imds: Imds) -> None:
    imds.set_options(http_tokens=HttpTokens.REQUIRED)
    assert imds.ask().status == 401
    assert imds.ask(headers={TOKEN: imds.token()}).status == 200


def test_a_wrong_token_is_refused_even_where_tokens_are_optional(imds: Imds) -> None:
    token = imds.token()
    swapped = token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:]
    for wrong in ("", "nonsense", "é".encode().decode("latin-1"), swapped, "A" * 5000):
        assert imds.ask(headers={TOKEN: wrong}).status == 401


def test_a_token_is_of_the_length_clients_expect_and_tells_its_time(imds: Imds) -> None:
    reply = imds.ask("PUT", "/latest/api/token", {TTL: "21600"})
    assert len(reply.body) == 56
    assert reply.headers["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"] == "21600"


def test_a_token_ends_when_its_time_is_over(imds: Imds) -> None:
    token = imds.token(ttl_s=60)
    imds.clock.forward(59)
    assert imds.ask(headers={TOKEN: token}).status == 200
    imds.clock.forward(1)
    assert imds.ask(headers={TOKEN: token}).status == 401


def test_a_token_is_worth_nothing_to_another_instance(imds: Imds) -> None:
    assert imds.ask(headers={TOKEN: imds.token(instance=OTHER)}).status == 401


def test_after_a_restart_clients_are_told_to_get_a_new_token() -> None:
    with served("first") as before:
        token = before.token()
    with served("second") as after:
        assert after.ask(headers={TOKEN: token}).status == 401


@pytest.mark.parametrize("ttl", ["0", "21601", "-1", "1.5", "x", "", "99999999", "٣"])
def test_a_token_needs_a_sensible_time_to_live(imds: Imds, ttl: str) -> None:
    answer = imds.raw(f"PUT /latest/api/token HTTP/1.1\r\n{TTL}: {ttl}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_token_is_not_given_through_a_proxy(imds: Imds) -> None:
    headers = {TTL: "60", "X-Forwarded-For": "10.0.0.1"}
    assert imds.ask("PUT", "/latest/api/token", headers).status == 403
    assert imds.ask("PUT", "/latest/api/token").status == 400


def test_a_put_with_a_body_does_not_disturb_what_follows(imds: Imds) -> None:
    connection = imds.connect()
    connection.request("PUT", "/latest/api/token", body=b"x" * 100, headers={TTL: "60"})
    assert len(connection.getresponse().read()) == 56
    connection.request("GET", PATH)
    assert connection.getresponse().read() == ONE.encode()
    connection.close()


def test_other_methods_and_unknown_paths_are_refused(imds: Imds) -> None:
    assert imds.ask("POST").status == 405
    assert imds.ask("DELETE").status == 405
    assert imds.ask("PUT", "/latest/meta-data/instance-id").status == 405
    assert imds.ask("GET", "/latest/api/token").status == 405
    assert imds.ask("GET", "/latest/meta-data/nothing").status == 404


def test_a_switched_off_service_refuses_everything(imds: Imds) -> None:
    imds.set_options(http_endpoint=Switch.DISABLED)
    assert imds.ask().status == 403
    assert imds.ask("PUT", "/latest/api/token", {TTL: "60"}).status == 403


def test_an_instance_unknown_to_the_catalog_is_told_nothing(imds: Imds) -> None:
    del imds.known[ONE]
    assert imds.ask().status == 404


@pytest.mark.parametrize(
    "data",
    [
        b"\0\xff\r\n\r\n",
        b"GET /latest/ HTTP/2.0\r\n\r\n",
        b"GET http://other/ HTTP/1.1\r\n\r\n",
        b"get / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT /latest/api/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100 + b"\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_plainly_http_is_refused_and_the_connection_ends(
    imds: Imds, data: bytes
) -> None:
    assert imds.raw(data).startswith(b"HTTP/1.1 400 ")


def test_requests_sent_in_a_row_are_answered_in_a_row(imds: Imds) -> None:
    line = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert imds.raw(line * 3).count(ONE.encode()) == 3


def test_http_1_0_gets_its_answer_and_the_end(imds: Imds) -> None:
    answer = imds.raw(f"GET {PATH} HTTP/1.0\r\n\r\n".encode() * 2)
    assert answer.count(ONE.encode()) == 1
    assert b"Connection: close" in answer


def test_one_instance_has_a_bounded_number_of_connections(imds: Imds) -> None:
    held = []
    for _ in range(CONNECTIONS_PER_INSTANCE_MAX):
        connection = imds.connect()
        connection.request("GET", PATH)
        assert connection.getresponse().read()
        held.append(connection)
    with pytest.raises((http.client.HTTPException, OSError)):
        imds.ask()
    assert imds.ask(instance=OTHER).status == 200
    held.pop().close()
    until(lambda: answers_again(imds))
    for connection in held:
        connection.close()


def answers_again(imds: Imds) -> bool:
    try:
        return imds.ask().status == 200
    except (http.client.HTTPException, OSError):
        return False


def test_a_guest_that_asks_too_often_waits_for_its_answers(imds: Imds) -> None:
    began, more = time.monotonic(), 64
    line = f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert imds.raw(line * (BURST + more)).count(ONE.encode()) == BURST + more
    assert time.monotonic() - began >= more / REQUESTS_PER_S


def test_a_guest_whose_metadata_takes_long_keeps_no_other_waiting() -> None:
    may_end, asked = threading.Event(), []

    def look_up(instance: InstanceId) -> Metadata:
        asked.append(instance)
        if instance == ONE:
            assert may_end.wait(timeout=30)
        return a_metadata(instance_id=instance)

    service = MetadataService(look_up, StoppedClock(), CountingIds())
    imds = Imds(service, {}, StoppedClock())
    for instance in (ONE, OTHER):
        listening = socket.create_server(("127.0.0.1", 0))
        imds.ports[instance] = listening.getsockname()[1]
        service.serve(instance, listening)
    held = [imds.connect() for _ in range(8)]
    try:
        for connection in held:
            connection.request("GET", PATH)
        for _ in range(8):
            assert imds.ask(instance=OTHER).body == OTHER.encode()
        until(lambda: ONE in asked)
        assert asked.count(ONE) == 1
        may_end.set()
        assert [one.getresponse().read() for one in held] == [ONE.encode()] * len(held)
    finally:
        may_end.set()
        for connection in held:
            connection.close()
        service.close()


def test_what_a_guest_asked_is_remembered(imds: Imds) -> None:
    imds.token()
    imds.ask("GET", "/latest/nothing")
    seen = [(one.method, one.path, one.status) for one in imds.service.requests(ONE)]
    assert seen == [("PUT", "/latest/api/token", 200), ("GET", "/latest/nothing", 404)]
    assert imds.service.requests(OTHER) == ()


def test_stopping_one_instance_closes_its_socket_and_no_other() -> None:
    service = MetadataService(lambda _: a_metadata(), StoppedClock(), CountingIds())
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    ports = [one.getsockname()[1] for one in listening]
    stop = service.serve(ONE, listening[0])
    service.serve(OTHER, listening[1])
    with socket.create_connection(("127.0.0.1", ports[0]), timeout=30) as held:
        stop()
        stop()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", ports[0]), timeout=30)
        with suppress(ConnectionResetError):  # which it is if it was never accepted
            assert held.recv(10) == b""
    socket.create_connection(("127.0.0.1", ports[1]), timeout=30).close()
    service.close()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        parse_head(data + b"\r\n\r\n")
    except BadRequest:
        return


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_headers_are_a_request_or_refused(lines: list[bytes]) -> None:
    try:
        parse_head(b"\r\n".join([b"GET / HTTP/1.1", *lines]) + b"\r\n\r\n")
    except BadRequest:
        return
