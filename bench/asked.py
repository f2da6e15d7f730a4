"""Questions put to a server of EC2's API many times over, and what each costs."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from botocore.credentials import Credentials

from bench import raw_http
from bench.many_images import FAMILY, TAGS, image_id, image_name
from bench.measure import Sample, busy_s
from bench.raw_http import Connection


class Server(Protocol):
    @property
    def pid(self) -> int: ...
    @property
    def port(self) -> int: ...
    @property
    def credentials(self) -> Credentials: ...


Question = Callable[[int], Mapping[str, str]]
"""The number of an image → the parameters that ask for it."""


def by_id(number: int) -> Mapping[str, str]:
    return {"Action": "DescribeImages", "ImageId.1": image_id(number)}


def by_filters(number: int) -> Mapping[str, str]:
    return _filtered(
        ("name", image_name(number)),
        ("state", "available"),
        ("architecture", "x86_64"),
        ("tag:team", TAGS["team"]),
    )


def page(number: int) -> Mapping[str, str]:
    """A thousand images. MaxResults says nothing to moto, but there are no more."""
    family = ("name", f"family-{number // FAMILY}-*")
    return {**_filtered(family), "MaxResults": str(FAMILY)}


def _filtered(*pairs: tuple[str, str]) -> Mapping[str, str]:
    asked = {"Action": "DescribeImages"}
    for index, (name, value) in enumerate(pairs, start=1):
        asked |= {f"Filter.{index}.Name": name, f"Filter.{index}.Value.1": value}
    return asked


def ask(server: Server, question: Question, numbers: Sequence[int], images: int) -> Sample:
    """The time and the server's CPU seconds of one request. Each answer must have `images`."""
    requests = [
        raw_http.signed(server.port, server.credentials, question(number)) for number in numbers
    ]
    connection = Connection(server.port)
    before_s, own_s, all_s = cpu_s(server.pid), time.process_time(), busy_s()
    began = time.perf_counter()
    answers = [connection.send(request) for request in requests]
    wall_s = time.perf_counter() - began
    connection.close()
    used_s = cpu_s(server.pid) - before_s
    others_s = busy_s() - all_s - used_s - (time.process_time() - own_s)
    if any(answer.count(b"<imageId>") != images for answer in answers):
        raise RuntimeError(f"not {images} images: {answers[0][:2000].decode()}")
    count = len(numbers)
    return Sample(
        wall_s=wall_s / count,
        cpu_s=used_s / count,
        peak_mib=resident_mib(server.pid),
        other_cores=max(0.0, others_s / wall_s),
    )


def cpu_s(pid: int) -> float:
    """proc(5): utime and stime of the process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"process {pid} is gone")
