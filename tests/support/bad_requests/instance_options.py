"""What cannot be settled for instances, or required of their types."""

from support.bad_requests.row import Bad

_STOPPED = {"InstanceId": "{stopped}"}
_RUNNING = {"InstanceId": "{running}"}
_LEAST = {"VCpuCount": {"Min": 0}, "MemoryMiB": {"Min": 0}}
_TYPES = {
    "ArchitectureTypes": ["x86_64"],
    "VirtualizationTypes": ["hvm"],
    "InstanceRequirements": _LEAST,
}


def _defaults(why: str, code: str, **request: object) -> Bad:
    return Bad(f"metadata defaults with {why}", "ModifyInstanceMetadataDefaults", request, code)


def _cpu(why: str, code: str, **request: object) -> Bad:
    return Bad(f"processors: {why}", "ModifyInstanceCpuOptions", request, code)


def _credits(why: str, code: str, *entries: object) -> Bad:
    request = {"InstanceCreditSpecifications": list(entries)}
    return Bad(f"credits {why}", "ModifyInstanceCreditSpecification", request, code)


def _place(why: str, code: str, **request: object) -> Bad:
    return Bad(f"a place {why}", "ModifyInstancePlacement", _STOPPED | request, code)


def _types(why: str, code: str, **request: object) -> Bad:
    name = "GetInstanceTypesFromInstanceRequirements"
    return Bad(f"types for {why}", name, _TYPES | request, code)


OPTIONS = (
    _defaults("nothing", "InvalidParameterCombination"),
    _defaults("tokens that are forbidden", "InvalidParameterValue", HttpTokens="forbidden"),
    _defaults("no hop at all", "InvalidParameterValue", HttpPutResponseHopLimit=0),
    _defaults("a hop limit of -2", "InvalidParameterValue", HttpPutResponseHopLimit=-2),
    _cpu("of a running instance", "IncorrectInstanceState", **_RUNNING, ThreadsPerCore=1),
    _cpu("a million cores", "InvalidParameterValue", **_STOPPED, CoreCount=1_000_000),
    _cpu("less than one thread", "InvalidParameterValue", **_STOPPED, ThreadsPerCore=-1),
    _cpu("no change", "MissingParameter", **_STOPPED),
    _cpu("nested", "UnsupportedOperation", **_STOPPED, NestedVirtualization="enabled"),
    _credits("of no kind", "MissingParameter", {"InstanceId": "{running}"}),
    _credits(
        "for free", "InvalidParameterValue", {"InstanceId": "{running}", "CpuCredits": "free"}
    ),
    _place("that is not named", "InvalidParameterCombination"),
    _place("of one's own", "UnsupportedOperation", Tenancy="dedicated"),
    _place("on a host", "UnsupportedOperation", HostId="h-0123456789abcdef0"),
    _place("in a group", "InvalidPlacementGroup.Unknown", GroupName="together"),
    Bad("maintenance of no kind", "ModifyInstanceMaintenanceOptions", _RUNNING, "MissingParameter"),
    Bad(
        "recovery by magic",
        "ModifyInstanceMaintenanceOptions",
        _RUNNING | {"AutoRecovery": "magic"},
        "InvalidParameterValue",
    ),
    _types("a processor that is none", "InvalidParameterValue", ArchitectureTypes=["z80"]),
    _types(
        "no least memory",
        "MissingParameter",
        InstanceRequirements={"VCpuCount": {"Min": 0}, "MemoryMiB": {"Max": 5}},
    ),
    _types(
        "a price",
        "UnsupportedOperation",
        InstanceRequirements=_LEAST | {"OnDemandMaxPricePercentageOverLowestPrice": 10},
    ),
    _types("a page of nothing", "InvalidParameterValue", MaxResults=0),
    Bad(
        "short ids",
        "ModifyIdFormat",
        {"Resource": "image", "UseLongIds": False},
        "UnsupportedOperation",
    ),
    Bad(
        "ids of another account's root",
        "DescribeIdentityIdFormat",
        {"PrincipalArn": "arn:aws:iam::000000000000:root"},
        "InvalidParameterValue",
    ),
    Bad(
        "a launch with half of its processors' options",
        "RunInstances",
        {
            "ImageId": "{image}",
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": "m5.large",
            "CpuOptions": {"CoreCount": 1},
        },
        "MissingParameter",
    ),
)
