"""The rules of volumes: their owner's alone, and kept for a while when they are deleted."""

from dataclasses import dataclass, field
from datetime import datetime

from support.rules.retention import RetentionRules

NO_VOLUME = "InvalidVolume.NotFound"


@dataclass(kw_only=True)
class RuledVolume:
    owner: str
    bin_until: datetime | None = None


@dataclass(kw_only=True)
class VolumeRules(RetentionRules):
    volumes: dict[str, RuledVolume] = field(default_factory=dict)

    def listed_volumes(self, account: str) -> set[str]:
        return {
            volume_id
            for volume_id, volume in self.volumes.items()
            if volume.owner == account and volume.bin_until is None
        }

    def delete_volume(self, account: str, volume_id: str) -> str:
        if volume_id not in self.listed_volumes(account):
            return NO_VOLUME
        until = self.bin_until(account, "volume", volume_id)
        self.volumes[volume_id].bin_until = until
        if until is None:
            del self.volumes[volume_id]
        return ""

    def restore_volume(self, account: str, volume_id: str) -> str:
        volume = self.volumes.get(volume_id)
        if volume is None or volume.owner != account:
            return NO_VOLUME
        if volume.bin_until is None or volume.bin_until <= self.now:
            return NO_VOLUME
        volume.bin_until = None
        return ""

    def tag_volume(self, account: str, volume_id: str, key: str, value: str | None) -> str:
        """Those in the bin, too."""
        if volume_id not in self.volumes or self.volumes[volume_id].owner != account:
            return NO_VOLUME
        self.put_tag(account, volume_id, key, value)
        return ""

    def empty_bin_of_volumes(self) -> None:
        for volume_id, volume in list(self.volumes.items()):
            if volume.bin_until is not None and volume.bin_until <= self.now:
                del self.volumes[volume_id]
