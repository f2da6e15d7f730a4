"""What an account settles for all its instances in a region.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from openami.domain.errors import EC2Error, InvalidParameterValue, UnsupportedOperation
from openami.domain.ids import AccountId, Region
from openami.domain.instance import MetadataOptions
from openami.domain.launch import MetadataChange
from openami.domain.tag import KEY_CHARACTERS_MAX

NOTIFIED_KEYS_MAX: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSettings:
    """An account that never said anything has the defaults. None is EC2's "no preference"."""

    account: AccountId
    region: Region
    http_tokens: str | None = None
    http_endpoint: str | None = None
    http_put_response_hop_limit: int | None = None
    instance_metadata_tags: str | None = None
    http_tokens_enforced: str | None = None
    serial_console_access: bool = False
    notifies_all_tags: bool = False
    notified_tag_keys: tuple[str, ...] = ()

    @property
    def metadata(self) -> MetadataChange:
        """What a launch takes that does not say itself."""
        return MetadataChange(
            http_tokens=self.http_tokens,
            http_endpoint=self.http_endpoint,
            http_put_response_hop_limit=self.http_put_response_hop_limit,
            instance_metadata_tags=self.instance_metadata_tags,
        )

    def notifying(self, keys: Sequence[str]) -> "InstanceSettings":
        """With these tag keys too in notifications of events.

        Raises InvalidParameterValue, TagLimitExceeded.
        """
        if not all(0 < len(key) <= KEY_CHARACTERS_MAX for key in keys):
            raise InvalidParameterValue(f"A tag key has 1 to {KEY_CHARACTERS_MAX} characters.")
        every = tuple(dict.fromkeys((*self.notified_tag_keys, *keys)))
        if len(every) > NOTIFIED_KEYS_MAX:
            raise EC2Error.of(
                "TagLimitExceeded", f"At most {NOTIFIED_KEYS_MAX} tag keys can be registered."
            )
        return replace(self, notified_tag_keys=every)

    def not_notifying(self, keys: Sequence[str]) -> "InstanceSettings":
        left = tuple(key for key in self.notified_tag_keys if key not in keys)
        return replace(self, notified_tag_keys=left)

    def check(self, options: MetadataOptions, what: str) -> None:
        """Raises UnsupportedOperation for IMDSv1 where the account enforces IMDSv2."""
        if self.http_tokens_enforced == "enabled" and options.http_tokens != "required":
            raise UnsupportedOperation(
                f"You can't {what} with IMDSv1 because httpTokensEnforced is enabled for this"
                " account. Either use httpTokens=required or disable httpTokensEnforced by"
                " ModifyInstanceMetadataDefaults."
            )
