"""What deleted things are kept for how long, and whose tags are whose."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NO_RULE, HELD = "ResourceNotFoundException", "ConflictException"
UNLOCK_DELAY = 7 * DAY
SHARED = "ec2:SharedTag/"


@dataclass(kw_only=True)
class RetentionRule:
    owner: str
    kind: str
    days: int
    lock: str = "never"
    unlocks_at: datetime | None = None


@dataclass(kw_only=True)
class RetentionRules:
    """`retention` is by id, `tags` by who gave them and to what."""

    now: datetime
    retention: dict[str, RetentionRule] = field(default_factory=dict)
    tags: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def bin_until(self, account: str, kind: str) -> datetime | None:
        """When what is deleted now leaves the bin: by the longest rule, if there is one."""
        days = [
            rule.days
            for rule in self.retention.values()
            if (rule.owner, rule.kind) == (account, kind)
        ]
        return self.now + max(days) * DAY if days else None

    def keep(self, account: str, rule_id: str, kind: str, days: int) -> None:
        self.retention[rule_id] = RetentionRule(owner=account, kind=kind, days=days)

    def drop_rule(self, account: str, rule_id: str) -> str:
        """What the rule brought into the bin stays there for its time."""
        rule = self.retention.get(rule_id)
        if rule is None or rule.owner != account:
            return NO_RULE
        if rule.lock == "locked" or (rule.unlocks_at is not None and self.now < rule.unlocks_at):
            return HELD
        del self.retention[rule_id]
        return ""

    def lock_rule(self, account: str, rule_id: str, *, on: bool) -> str:
        rule = self.retention.get(rule_id)
        if rule is None or rule.owner != account:
            return NO_RULE
        if (rule.lock == "locked") == on:
            return HELD
        rule.lock = "locked" if on else "unlocked"
        rule.unlocks_at = None if on else self.now + UNLOCK_DELAY
        return ""

    def put_tag(self, account: str, resource_id: str, key: str, value: str | None) -> None:
        """None takes it away."""
        given = self.tags.setdefault((account, resource_id), {})
        given.pop(key, None)
        if value is not None:
            given[key] = value

    def tags_seen(self, account: str, owner: str, image_id: str) -> dict[str, str]:
        """An account's own, and those that the image's owner shares by their keys."""
        of_owner = self.tags.get((owner, image_id), {})
        shared = {key: value for key, value in of_owner.items() if key.startswith(SHARED)}
        return self.tags.get((account, image_id), {}) | shared
