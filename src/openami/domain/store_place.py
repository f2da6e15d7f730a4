"""Where a region's chunks are when they are in no directory: under a prefix of a bucket."""

import re
from dataclasses import dataclass, field
from typing import Final, Self

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*)?")
_SCHEME: Final = "s3://"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPlace:
    """A prefix of a bucket of an S3 endpoint, and the keys by which it knows us."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    def __str__(self) -> str:
        """For people and logs: never the keys."""
        return f"{_SCHEME}{self.bucket}/{self.prefix} at {self.endpoint}"

    @classmethod
    def parse(cls, text: str, *, endpoint: str, region: str, keys: tuple[str, str]) -> Self:
        """`s3://bucket/prefix`, with `?endpoint=URL&region=NAME` where they are not those given.

        Raises ValueError: what is wrong with it.
        """
        name, _, query = text.removeprefix(_SCHEME).partition("?")
        pairs = [each.partition("=") for each in query.split("&") if each]
        asked = {name: value for name, _, value in pairs}
        if unknown := asked.keys() - {"endpoint", "region"}:
            raise ValueError(f"{', '.join(sorted(unknown))} is not known; endpoint and region are")
        bucket, _, prefix = name.partition("/")
        place = cls(
            bucket=bucket,
            prefix=prefix,
            endpoint=asked.get("endpoint", endpoint).rstrip("/"),
            region=asked.get("region", region),
            access_key_id=keys[0],
            secret_access_key=keys[1],
        )
        place._require()
        return place

    def _require(self) -> None:
        if not _BUCKET.fullmatch(self.bucket):
            raise ValueError(f"{self.bucket!r} is no name of a bucket")
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f"{self.prefix!r} is no prefix: names with slashes between them")
        if not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("it needs ?endpoint=http://… or the setting s3_endpoint as a URL")

    def overlaps(self, other: Self) -> bool:
        """Whether one of them is, or lies within, the other."""
        if (self.endpoint, self.bucket) != (other.endpoint, other.bucket):
            return False
        mine, its = (f"{each.prefix}/".lstrip("/") for each in (self, other))
        return mine.startswith(its) or its.startswith(mine)


def is_bucket(text: str) -> bool:
    return text.startswith(_SCHEME)
