"""Uploads in parts that were begun and never ended: the S3 store keeps their parts until told.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
"""

import http.client
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from openami.objects.store import Endpoint, ObjectAbsent, ObjectStoreError
from openami.wire import sign

_TIMEOUT_S: Final = 60.0
_ANSWER_BYTES_MAX: Final = 8 << 20


def abandon(endpoint: Endpoint, now: datetime, bucket: str, key: str) -> None:
    """Abort every upload of the key that is not complete. Raises ObjectStoreError, ObjectAbsent."""
    for upload_id in _uploads(endpoint, now, bucket, key):
        named = f"uploadId={_quoted(upload_id)}"
        path = quote(f"/{bucket}/{key}", safe="/~")
        _answer(endpoint, now, "DELETE", path, named)


def _uploads(endpoint: Endpoint, now: datetime, bucket: str, key: str) -> Iterator[str]:
    """Their ids, page by page: keys that only begin like this one are listed with it."""
    after: dict[str, str] = {}
    while True:
        listing = _answer(endpoint, now, "GET", f"/{bucket}", _query(key, after))
        try:
            page = ElementTree.fromstring(listing)  # noqa: S314 # from the operator's own store
        except ElementTree.ParseError as wrong:
            raise ObjectStoreError(f"the list of uploads is not XML: {wrong}") from wrong
        for upload in page.findall("{*}Upload"):
            if upload.findtext("{*}Key") == key:
                yield upload.findtext("{*}UploadId") or ""
        if page.findtext("{*}IsTruncated") != "true":
            return
        before, after = after, _end_of(page)
        if after in ({}, before):
            raise ObjectStoreError("the list of uploads does not say where it goes on")


def _end_of(page: ElementTree.Element) -> dict[str, str]:
    """What asks for the next page. SeaweedFS, whose ids begin with the key's digest, tells the id
    alone."""
    told = {
        "key-marker": page.findtext("{*}NextKeyMarker"),
        "upload-id-marker": page.findtext("{*}NextUploadIdMarker"),
    }
    return {name: value for name, value in told.items() if value}


def _query(key: str, after: Mapping[str, str]) -> str:
    """By name, as they are signed."""
    parameters = {"prefix": key, "uploads": "", **after}
    return "&".join(f"{name}={_quoted(value)}" for name, value in sorted(parameters.items()))


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _answer(endpoint: Endpoint, now: datetime, method: str, path: str, query: str) -> bytes:
    where = urlsplit(endpoint.url)
    headers = sign.signed_headers(
        *(method, path, query, {"host": where.netloc}),
        payload=sign.UNSIGNED_PAYLOAD,
        access_key_id=endpoint.access_key_id,
        secret=endpoint.secret_access_key,
        region=endpoint.region,
        now=now,
    )
    secure = where.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(where.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request(method, f"{path}?{query}", headers=headers)
        answer = connection.getresponse()
        body = answer.read(_ANSWER_BYTES_MAX)
    except (OSError, http.client.HTTPException) as failure:
        raise ObjectStoreError(f"{method} of {path} failed: {failure}") from failure
    finally:
        connection.close()
    if answer.status == 404:  # no such bucket, or an upload that has ended meanwhile
        if method == "DELETE":
            return b""
        raise ObjectAbsent(path)
    if answer.status >= 300:
        raise ObjectStoreError(f"{method} of {path} is answered with {answer.status}")
    return body
