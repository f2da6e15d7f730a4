"""Key pairs, by name and by id."""

from typing import Final

from support.access.row import MAY, NOTHING, SEES, Access, own, shared

UNKNOWN: Final = "InvalidKeyPair.NotFound"

TAKEN: Final = "InvalidKeyPair.Duplicate"
_PUBLIC: Final = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

ROWS: Final[tuple[Access, ...]] = (
    # A name that another has taken is free.
    shared("CreateKeyPair", MAY, MAY, TAKEN, KeyName="{key_name}"),
    shared("ImportKeyPair", MAY, MAY, TAKEN, KeyName="{key_name}", PublicKeyMaterial=_PUBLIC),
    own("DescribeKeyPairs", UNKNOWN, SEES, KeyNames=["{key_name}"]),
    own("DescribeKeyPairs", UNKNOWN, SEES, KeyPairIds=["{key}"]),
    # EC2 deletes a key pair of a name that does not exist without a word.
    own("DeleteKeyPair", NOTHING, KeyName="{key_name}"),
    own("DeleteKeyPair", UNKNOWN, KeyPairId="{key}"),
)
