"""Event windows that cannot be, and targets that are none."""

from support.bad_requests.row import Bad

_UNKNOWN = "iew-0123456789abcdef0"
_NIGHTS = "* 0-4 * * *"


def _window(why: str, code: str, **request: object) -> Bad:
    return Bad(f"a window {why}", "CreateInstanceEventWindow", request, code)


def _range(first: int, last: int, day: str = "monday") -> dict[str, object]:
    return {"StartWeekDay": day, "StartHour": first, "EndWeekDay": day, "EndHour": last}


def _keys(why: str, code: str, **attribute: object) -> Bad:
    name = "RegisterInstanceEventNotificationAttributes"
    return Bad(f"notified tags: {why}", name, {"InstanceTagAttribute": attribute}, code)


WINDOWS = (
    _window("without hours", "MissingParameter", Name="never"),
    _window("of three hours", "InvalidParameterValue", TimeRanges=[_range(1, 4)]),
    _window(
        "with one hour in it", "InvalidParameterValue", TimeRanges=[_range(1, 2), _range(5, 9)]
    ),
    _window("on no day", "InvalidParameterValue", TimeRanges=[_range(1, 9, "doomsday")]),
    _window("beyond the day", "InvalidParameterValue", TimeRanges=[_range(1, 10**12)]),
    _window("with half a range", "MissingParameter", TimeRanges=[{"StartHour": 1}]),
    _window("by the minute", "InvalidParameterValue", CronExpression="5 0-4 * * *"),
    _window("by a long cron", "InvalidParameterValue", CronExpression="* " * 10_000),
    _window(
        "in two ways",
        "InvalidParameterCombination",
        CronExpression=_NIGHTS,
        TimeRanges=[_range(1, 9)],
    ),
    _window("with a name of 256", "InvalidParameterValue", CronExpression=_NIGHTS, Name="n" * 256),
    _window(
        "that tags an image",
        "InvalidParameterValue",
        CronExpression=_NIGHTS,
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    ),
    Bad(
        "targets of a window that never was",
        "AssociateInstanceEventWindow",
        {"InstanceEventWindowId": _UNKNOWN, "AssociationTarget": {"InstanceIds": ["{running}"]}},
        "InvalidInstanceEventWindowID.NotFound",
    ),
    Bad(
        "targets of two kinds",
        "AssociateInstanceEventWindow",
        {
            "InstanceEventWindowId": _UNKNOWN,
            "AssociationTarget": {
                "InstanceIds": ["{running}"],
                "InstanceTags": [{"Key": "a", "Value": "b"}],
            },
        },
        "InvalidParameterCombination",
    ),
    Bad(
        "a window that never was",
        "DeleteInstanceEventWindow",
        {"InstanceEventWindowId": _UNKNOWN},
        "InvalidInstanceEventWindowID.NotFound",
    ),
    Bad(
        "a window whose id is none",
        "DescribeInstanceEventWindows",
        {"InstanceEventWindowIds": ["../../etc"]},
        "InvalidInstanceEventWindowID.Malformed",
    ),
    _keys("none", "MissingParameter"),
    _keys(
        "all and some",
        "InvalidParameterCombination",
        InstanceTagKeys=["a"],
        IncludeAllTagsOfInstance=True,
    ),
    _keys("too many", "TagLimitExceeded", InstanceTagKeys=[f"k{n}" for n in range(11)]),
)
