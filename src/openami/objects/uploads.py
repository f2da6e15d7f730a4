"""Uploads in parts that were begun and never ended: the S3 store keeps their parts until told.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html
"""

import http.client
from collections.abc import Iterator
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
    query = f"prefix={quote(key, safe='')}&uploads="
    listing = _answer(endpoint, now, "GET", f"/{bucket}", query)
    for upload_id in _uploads(listing, key):
        named = f"uploadId={quote(upload_id, safe='')}"
        path = quote(f"/{bucket}/{key}", safe="/~")
        _answer(endpoint, now, "DELETE", path, named)


def _uploads(listing: bytes, key: str) -> Iterator[str]:
    try:
        document = ElementTree.fromstring(listing)  # noqa: S314 # from the operator's own store
    except ElementTree.ParseError as wrong:
        raise ObjectStoreError(f"the list of uploads is not XML: {wrong}") from wrong
    for upload in document.findall("{*}Upload"):
        if upload.findtext("{*}Key") == key:
            yield upload.findtext("{*}UploadId") or ""


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
