"""Security groups and key pairs."""

from support.bad_requests.row import Bad


def _open(why: str, code: str, **changed: object) -> Bad:
    flat = {"GroupId": "{group}", "IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
    request = flat | {"CidrIp": "10.0.0.0/8"} | changed
    kept = {name: value for name, value in request.items() if value is not None}
    return Bad(why, "AuthorizeSecurityGroupIngress", kept, code)


def _permission(why: str, code: str, **permission: object) -> Bad:
    request = {"GroupId": "{group}", "IpPermissions": [permission]}
    return Bad(why, "AuthorizeSecurityGroupIngress", request, code)


_TCP = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}

GROUPS = (
    Bad("no description", "CreateSecurityGroup", {"GroupName": "x"}, "MissingParameter"),
    Bad("no name", "CreateSecurityGroup", {"Description": "x"}, "MissingParameter"),
    Bad(
        "an empty name",
        "CreateSecurityGroup",
        {"GroupName": "", "Description": "x"},
        "InvalidParameterValue|MissingParameter",
    ),
    Bad(
        "a name that is taken",
        "CreateSecurityGroup",
        {"GroupName": "bad-group", "Description": "x"},
        "InvalidGroup.Duplicate",
    ),
    Bad(
        "the name default",
        "CreateSecurityGroup",
        {"GroupName": "default", "Description": "x"},
        "InvalidParameterValue|InvalidGroup.Reserved",
    ),
    Bad(
        "a name like an id",
        "CreateSecurityGroup",
        {"GroupName": "sg-web", "Description": "x"},
        "InvalidParameterValue",
    ),
    Bad(
        "a name of 256 characters",
        "CreateSecurityGroup",
        {"GroupName": "x" * 256, "Description": "x"},
        "InvalidParameterValue",
    ),
    Bad(
        "a description of 256 characters",
        "CreateSecurityGroup",
        {"GroupName": "x", "Description": "x" * 256},
        "InvalidParameterValue",
    ),
    Bad(
        "deleting the default group",
        "DeleteSecurityGroup",
        {"GroupId": "{default_group}"},
        "CannotDelete",
    ),
    Bad(
        "deleting a group in use",
        "DeleteSecurityGroup",
        {"GroupId": "{group}"},
        "DependencyViolation",
    ),
    Bad(
        "deleting nothing",
        "DeleteSecurityGroup",
        {},
        "MissingParameter|InvalidParameterCombination",
    ),
    _open("a rule that is there", "InvalidPermission.Duplicate", FromPort=22, ToPort=22),
    _open("a range that is none", "InvalidParameterValue", CidrIp="300.0.0.0/8"),
    _open("an address without its length", "InvalidParameterValue", CidrIp="10.0.0.0"),
    _open("a range that is too long", "InvalidParameterValue", CidrIp="10.0.0.0/40"),
    _open("a range that is a word", "InvalidParameterValue", CidrIp="everywhere"),
    _open("a port beyond all", "InvalidParameterValue", FromPort=70000, ToPort=70000),
    _open("a port below all", "InvalidParameterValue", FromPort=-5, ToPort=80),
    _open("ports from high to low", "InvalidParameterValue", FromPort=81),
    _open("TCP without ports", "InvalidParameterValue", FromPort=None, ToPort=None),
    _open(
        "a protocol that is none",
        "InvalidParameterValue|InvalidPermission.Malformed",
        IpProtocol="bogus",
    ),
    _open(
        "an ICMP type that is none",
        "InvalidParameterValue|InvalidPermission.Malformed",
        IpProtocol="icmp",
        FromPort=300,
        ToPort=-1,
    ),
    Bad("no rules", "AuthorizeSecurityGroupIngress", {"GroupId": "{group}"}, "MissingParameter"),
    Bad(
        "no group",
        "AuthorizeSecurityGroupIngress",
        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "CidrIp": "0.0.0.0/0"},
        "MissingParameter",
    ),
    _permission(
        "a range of the wrong family",
        "InvalidParameterValue",
        **_TCP,
        Ipv6Ranges=[{"CidrIpv6": "10.0.0.0/8"}],
    ),
    _permission(
        "a source that is no group",
        "InvalidGroupId.Malformed",
        **_TCP,
        UserIdGroupPairs=[{"GroupId": "web"}],
    ),
    _permission(
        "a source nobody has",
        "InvalidGroup.NotFound",
        **_TCP,
        UserIdGroupPairs=[{"GroupId": "sg-0123456789abcdef0"}],
    ),
    _permission(
        "one good range and one bad",
        "InvalidParameterValue",
        **_TCP,
        IpRanges=[{"CidrIp": "10.0.0.0/8"}, {"CidrIp": "x"}],
    ),
    _permission(
        "no protocol",
        "MissingParameter",
        FromPort=80,
        ToPort=80,
        IpRanges=[{"CidrIp": "10.0.0.0/8"}],
    ),
    Bad(
        "revoking what is not there",
        "RevokeSecurityGroupIngress",
        {
            "GroupId": "{group}",
            "IpProtocol": "tcp",
            "FromPort": 99,
            "ToPort": 99,
            "CidrIp": "10.0.0.0/8",
        },
        "InvalidPermission.NotFound",
    ),
    Bad(
        "revoking a rule nobody has",
        "RevokeSecurityGroupIngress",
        {"GroupId": "{group}", "SecurityGroupRuleIds": ["sgr-0123456789abcdef0"]},
        "InvalidSecurityGroupRuleId.NotFound",
    ),
)

KEYS = (
    Bad("no name", "CreateKeyPair", {}, "MissingParameter"),
    Bad(
        "a name that is taken",
        "CreateKeyPair",
        {"KeyName": "bad-key", "KeyType": "ed25519"},
        "InvalidKeyPair.Duplicate",
    ),
    Bad(
        "a name of 256 characters",
        "CreateKeyPair",
        {"KeyName": "k" * 256, "KeyType": "ed25519"},
        "InvalidParameterValue",
    ),
    Bad(
        "an empty name",
        "CreateKeyPair",
        {"KeyName": "", "KeyType": "ed25519"},
        "InvalidParameterValue|MissingParameter",
    ),
    Bad(
        "a type that is none",
        "CreateKeyPair",
        {"KeyName": "k", "KeyType": "dsa"},
        "InvalidParameterValue",
    ),
    Bad("no material", "ImportKeyPair", {"KeyName": "k"}, "MissingParameter"),
    Bad(
        "material that is no key",
        "ImportKeyPair",
        {"KeyName": "k", "PublicKeyMaterial": b"hello"},
        "InvalidKey.Format",
    ),
    Bad(
        "material cut short",
        "ImportKeyPair",
        {"KeyName": "k", "PublicKeyMaterial": b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"},
        "InvalidKey.Format",
    ),
    Bad(
        "a private key",
        "ImportKeyPair",
        {"KeyName": "k", "PublicKeyMaterial": b"-----BEGIN RSA PRIVATE KEY-----\nAA==\n"},
        "InvalidKey.Format",
    ),
    Bad(
        "empty material",
        "ImportKeyPair",
        {"KeyName": "k", "PublicKeyMaterial": b""},
        "InvalidKey.Format|MissingParameter",
    ),
    Bad(
        "a name taken, imported",
        "ImportKeyPair",
        {"KeyName": "bad-key", "PublicKeyMaterial": b"{public_key}"},
        "InvalidKeyPair.Duplicate",
    ),
    Bad("deleting nothing", "DeleteKeyPair", {}, "MissingParameter"),
    Bad(
        "deleting an id nobody has",
        "DeleteKeyPair",
        {"KeyPairId": "key-0123456789abcdef0"},
        "InvalidKeyPair.NotFound",
    ),
)
