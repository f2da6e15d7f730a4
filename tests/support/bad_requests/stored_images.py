"""Images that cannot be stored in a bucket, and objects that cannot be restored as one."""

from support.bad_requests.row import Bad

_STORED = {"ImageId": "{image}", "Bucket": "{bucket}"}
_RESTORED = {"Bucket": "{bucket}", "ObjectKey": "no-image", "Name": "restored"}
_NEVER = "0123456789abcdef0"


def _store(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"an image stored {why}", "CreateStoreImageTask", _STORED | changed, code)


def _restore(why: str, code: str, **changed: object) -> Bad:
    return Bad(f"an image restored {why}", "CreateRestoreImageTask", _RESTORED | changed, code)


STORED = (
    Bad("nothing stored", "CreateStoreImageTask", {"Bucket": "{bucket}"}, "MissingParameter"),
    Bad(
        "an image stored nowhere",
        "CreateStoreImageTask",
        {"ImageId": "{image}"},
        "MissingParameter",
    ),
    _store("that is none", "InvalidAMIID.Malformed", ImageId="{volume}"),
    _store("that nobody has", "InvalidAMIID.NotFound", ImageId=f"ami-{_NEVER}"),
    _store("that is a stranger's", "InvalidAMIID.NotFound", ImageId="{foreign_image}"),
    _store("that is only public", "InvalidRequest", ImageId="{foreign_public_image}"),
    _store("that is gone", "InvalidAMIID.Unavailable", ImageId="{gone_image}"),
    _store("in no bucket", "InvalidParameter", Bucket="world-never"),
    _store("in a stranger's bucket", "InvalidParameter", Bucket="{foreign_bucket}"),
    _store("in a bucket elsewhere", "InvalidParameterValue", Bucket="{west_bucket}"),
    _store(
        "with a reserved tag", "InvalidParameterValue", S3ObjectTags=[{"Key": "aws:a", "Value": ""}]
    ),
)

RESTORED = (
    Bad("nothing restored", "CreateRestoreImageTask", {"Bucket": "{bucket}"}, "MissingParameter"),
    _restore("of an object of another kind", "InvalidParameterValue"),
    _restore("of no object", "NoSuchKey", ObjectKey="never"),
    _restore("from no bucket", "InvalidParameter", Bucket="world-never"),
    _restore("from a stranger's bucket", "InvalidParameter", Bucket="{foreign_bucket}"),
    _restore("from a bucket elsewhere", "InvalidParameterValue", Bucket="{west_bucket}"),
    _restore(
        "with a volume's tags",
        "InvalidParameterValue",
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    Bad(
        "store tasks of more images than are told at once",
        "DescribeStoreImageTasks",
        {"ImageIds": ["{image}"] * 21},
        "InvalidParameterValue",
    ),
    Bad(
        "store tasks of images in pages",
        "DescribeStoreImageTasks",
        {"ImageIds": ["{image}"], "MaxResults": 5},
        "InvalidParameterCombination",
    ),
    Bad(
        "store tasks by what they do not have",
        "DescribeStoreImageTasks",
        {"Filters": [{"Name": "colour", "Values": ["red"]}]},
        "InvalidParameterValue",
    ),
)
