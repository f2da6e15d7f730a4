"""Buckets: made, listed, given up. An account reaches its own and no other's."""

from collections.abc import Sequence

from openami.catalog import buckets, upload_checksums
from openami.domain.bucket import Bucket, checked_bucket_name
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue
from openami.domain.ids import Region
from openami.services import Services


def list_buckets(svc: Services, caller: Caller) -> Sequence[Bucket]:
    """The caller's, in every region, by name."""
    with svc.catalog.read() as tx:
        return buckets.owned_by(tx, caller.account)


def head_bucket(svc: Services, caller: Caller, name: str) -> Bucket:
    """The caller's bucket. Raises NoSuchBucket, AccessDenied for another account's."""
    with svc.catalog.read() as tx:
        found = buckets.find(tx, name)
    if found is None:
        raise EC2Error.of("NoSuchBucket", "The specified bucket does not exist", 404)
    if found.owner != caller.account:
        raise EC2Error.of("AccessDenied", "Access Denied", 403)
    return found


def claim_bucket(svc: Services, caller: Caller, name: str, region: Region) -> Bucket | None:
    """Make the name the caller's, before the store makes the bucket; None if it was already.

    So no bucket is without an owner. Raises InvalidBucketName, BucketAlreadyExists.
    """
    checked_bucket_name(name)
    with svc.catalog.begin() as tx:
        found = buckets.find(tx, name)
        if found is not None and found.owner != caller.account:
            raise EC2Error.of(
                "BucketAlreadyExists",
                "The requested bucket name is not available. The bucket namespace is shared by all"
                " users of the system. Select a different name and try again.",
                409,
            )
        if found is not None:
            return None
        owned = Bucket(name=name, region=region, owner=caller.account, created_at=svc.clock.now())
        buckets.add(tx, owned)
    return owned


def release_bucket(svc: Services, bucket: Bucket) -> None:
    """The store has no such bucket any more, or never made it: the name is free.

    Whoever took the name meanwhile, after another release of the same bucket, keeps it.
    """
    with svc.catalog.begin() as tx:
        if buckets.remove(tx, bucket):
            upload_checksums.forget_bucket(tx, bucket.name)


def check_bucket_of_task(svc: Services, caller: Caller, name: str) -> None:
    """Whether a task of EC2 may read and write the bucket: the caller's own, in its region.

    Raises InvalidParameter, of a bucket that is another's as of one that nobody has, and
    InvalidParameterValue for one of another region.
    """
    with svc.catalog.read() as tx:
        found = buckets.find(tx, name)
    if found is None or found.owner != caller.account:
        raise EC2Error.of(
            "InvalidParameter",
            "Insufficient permissions - please verify bucket ownership and write permissions on"
            f" the bucket. Bucket: {name[:63]}",
        )
    if found.region != caller.region:
        raise InvalidParameterValue(
            f"The bucket '{name}' is in {found.region}; it must be in {caller.region}, the region"
            " of the request."
        )
