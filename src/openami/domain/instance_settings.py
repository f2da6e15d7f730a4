"""What an account settles for all its instances in a region.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
"""

from dataclasses import dataclass

from openami.domain.errors import UnsupportedOperation
from openami.domain.ids import AccountId, Region
from openami.domain.instance import MetadataOptions
from openami.domain.launch import MetadataChange


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

    @property
    def metadata(self) -> MetadataChange:
        """What a launch takes that does not say itself."""
        return MetadataChange(
            http_tokens=self.http_tokens,
            http_endpoint=self.http_endpoint,
            http_put_response_hop_limit=self.http_put_response_hop_limit,
            instance_metadata_tags=self.instance_metadata_tags,
        )

    def check(self, options: MetadataOptions, what: str) -> None:
        """Raises UnsupportedOperation for IMDSv1 where the account enforces IMDSv2."""
        if self.http_tokens_enforced == "enabled" and options.http_tokens != "required":
            raise UnsupportedOperation(
                f"You can't {what} with IMDSv1 because httpTokensEnforced is enabled for this"
                " account. Either use httpTokens=required or disable httpTokensEnforced by"
                " ModifyInstanceMetadataDefaults."
            )
