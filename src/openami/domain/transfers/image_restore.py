"""An image that is being restored out of a bucket, and where from."""

from dataclasses import dataclass

from openami.domain.ids import AccountId, ImageId, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRestore:
    """There while its image is pending. `etag` is the object's that was looked at first."""

    image_id: ImageId
    region: Region
    owner: AccountId
    bucket: str
    key: str
    etag: str
    size_gib: int
