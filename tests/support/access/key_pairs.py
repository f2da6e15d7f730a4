"""Key pairs, by name and by id."""

from typing import Final

from support.access.row import NOTHING, SEES, Access, own

UNKNOWN: Final = "InvalidKeyPair.NotFound"

ROWS: Final[tuple[Access, ...]] = (
    own("DescribeKeyPairs", UNKNOWN, SEES, KeyNames=["{key_name}"]),
    own("DescribeKeyPairs", UNKNOWN, SEES, KeyPairIds=["{key}"]),
    # EC2 deletes a key pair of a name that does not exist without a word.
    own("DeleteKeyPair", NOTHING, KeyName="{key_name}"),
    own("DeleteKeyPair", UNKNOWN, KeyPairId="{key}"),
)
