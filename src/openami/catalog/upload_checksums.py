"""Checksums of uploads in parts, in SQL, until their upload ends."""

from sqlalchemy import delete, insert, select

from openami.catalog.catalog import Transaction
from openami.catalog.schema import upload_checksums as checksums
from openami.domain.transfers.upload import PartChecksum, UploadChecksums

C = checksums.c


def put(tx: Transaction, bucket: str, upload_id: str, told: PartChecksum) -> None:
    """A part that is sent anew has its new one."""
    mine = (C.bucket == bucket) & (C.upload_id == upload_id)
    tx.execute(delete(checksums).where(mine, C.part_number == told.part_number))
    tx.execute(
        insert(checksums).values(
            bucket=bucket,
            upload_id=upload_id,
            part_number=told.part_number,
            algorithm=told.algorithm,
            value=told.value,
        )
    )


def of_upload(tx: Transaction, bucket: str, upload_id: str) -> UploadChecksums:
    mine = (C.bucket == bucket) & (C.upload_id == upload_id)
    rows = tx.execute(select(C.part_number, C.algorithm, C.value).where(mine))
    found = {
        row.part_number: PartChecksum(
            part_number=row.part_number, algorithm=row.algorithm, value=row.value
        )
        for row in rows
    }
    whole = found.pop(0, None)
    return UploadChecksums(algorithm=None if whole is None else whole.algorithm, parts=found)


def forget(tx: Transaction, bucket: str, upload_id: str) -> None:
    tx.execute(delete(checksums).where(C.bucket == bucket, C.upload_id == upload_id))


def forget_bucket(tx: Transaction, bucket: str) -> None:
    tx.execute(delete(checksums).where(C.bucket == bucket))
