"""What is known of uploads in parts beside what the S3 store tells."""

from openami.catalog import upload_checksums
from openami.domain.transfers.upload import PartChecksum, UploadChecksums
from openami.services import Services


def remember(svc: Services, bucket: str, upload_id: str, told: PartChecksum) -> None:
    with svc.catalog.begin() as tx:
        upload_checksums.put(tx, bucket, upload_id, told)


def checksums(svc: Services, bucket: str, upload_id: str) -> UploadChecksums:
    with svc.catalog.read() as tx:
        return upload_checksums.of_upload(tx, bucket, upload_id)


def forget(svc: Services, bucket: str, upload_id: str) -> None:
    """It was completed or abandoned."""
    with svc.catalog.begin() as tx:
        upload_checksums.forget(tx, bucket, upload_id)
