"""The few documents of S3 that openami writes itself; all others are the store's.

https://docs.aws.amazon.com/AmazonS3/latest/API/RESTErrorResponses.html
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from openami.wire.xml import escaped, timestamp

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


def error(code: str, message: str, resource: str, request_id: str) -> bytes:
    return (
        f"{_DECLARATION}<Error><Code>{escaped(code)}</Code><Message>{escaped(message)}</Message>"
        f"<Resource>{escaped(resource)}</Resource><RequestId>{escaped(request_id)}</RequestId>"
        "</Error>"
    ).encode()


def buckets(owner: str, names: Iterable[tuple[str, datetime]]) -> bytes:
    """ListBuckets: each bucket's name and when it was made."""
    listed = "".join(
        f"<Bucket><Name>{escaped(name)}</Name><CreationDate>{timestamp(at)}</CreationDate></Bucket>"
        for name, at in names
    )
    return (
        f'{_DECLARATION}<ListAllMyBucketsResult xmlns="{_NAMESPACE}">'
        f"<Owner><ID>{escaped(owner)}</ID></Owner><Buckets>{listed}</Buckets>"
        "</ListAllMyBucketsResult>"
    ).encode()


def location(region: str) -> bytes:
    """GetBucketLocation: us-east-1 is told as nothing."""
    told = "" if region == "us-east-1" else escaped(region)
    return (
        f'{_DECLARATION}<LocationConstraint xmlns="{_NAMESPACE}">{told}</LocationConstraint>'
    ).encode()
