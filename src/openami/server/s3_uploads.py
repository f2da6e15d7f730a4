"""Uploads in parts with checksums: SeaweedFS takes and checks them and does not tell them in
ListParts, by which clients like awspub go on with an upload. So they are kept here meanwhile.
"""

import re
from collections.abc import Mapping
from typing import Final

from openami.actions.transfers import uploads
from openami.domain.transfers.upload import (
    PartChecksum,
    UploadChecksums,
    checked_algorithm,
    part_checksum,
)
from openami.server.s3 import Admitted
from openami.services import Services

ANSWER_BYTES_MAX: Final = 8 << 20  # ten thousand parts take less than three
_UPLOAD_ID: Final = re.compile(rb"<UploadId>([^<]{1,1024})</UploadId>")
_PART: Final = re.compile(rb"<PartNumber>([0-9]{1,5})</PartNumber>")
_END: Final = b"</ListPartsResult>"


def is_of_upload(asked: Admitted) -> bool:
    """Whether it begins, fills, lists or ends an upload in parts."""
    begins = asked.request.method == "POST" and "uploads" in asked.parameters
    return bool(asked.key) and (begins or "uploadId" in asked.parameters)


def heard(svc: Services, asked: Admitted, headers: Mapping[str, str], body: bytes) -> bytes:
    """Notes what a good answer says, and adds what it lacks. The body to be sent."""
    bucket, upload_id = asked.bucket, asked.parameters.get("uploadId")
    if upload_id is None:
        _begun(svc, bucket, headers, body)
        return body
    match asked.request.method:
        case "GET":
            return with_checksums(body, uploads.checksums(svc, bucket, upload_id))
        case "PUT":
            told = part_checksum(asked.parameters.get("partNumber", ""), headers)
            if told is not None:
                uploads.remember(svc, bucket, upload_id, told)
        case "DELETE":
            uploads.forget(svc, bucket, upload_id)
        case _:
            if b"<CompleteMultipartUploadResult" in body:  # an error may come with status 200
                uploads.forget(svc, bucket, upload_id)
    return body


def _begun(svc: Services, bucket: str, headers: Mapping[str, str], body: bytes) -> None:
    algorithm = checked_algorithm(headers.get("x-amz-checksum-algorithm", ""))
    found = _UPLOAD_ID.search(body)
    if algorithm is not None and found is not None:
        told = PartChecksum(part_number=0, algorithm=algorithm)
        uploads.remember(svc, bucket, found[1].decode("utf-8", "replace"), told)


def with_checksums(listing: bytes, known: UploadChecksums) -> bytes:
    """The answer of ListParts with the checksums in it, where S3 has them."""
    if known.algorithm is None or b"<ChecksumAlgorithm>" in listing:
        return listing

    def part(found: re.Match[bytes]) -> bytes:
        told = known.parts.get(int(found[1]))
        if told is None:
            return found[0]
        name = f"Checksum{told.algorithm}"
        return found[0] + f"<{name}>{told.value}</{name}>".encode()

    algorithm = f"<ChecksumAlgorithm>{known.algorithm}</ChecksumAlgorithm>".encode()
    return _PART.sub(part, listing).replace(_END, algorithm + _END)
