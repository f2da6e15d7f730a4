"""What deleted things are kept for how long, and whose tags are whose."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NO_RULE, HELD = "ResourceNotFoundException", "ConflictException"
TOO_MANY, NOT_LOCKABLE = "ServiceQuotaExceededException", "ValidationException"
UNLOCK_DELAY = 7 * DAY
RULES_OF_A_TAG = 5
SHARED = "ec2:SharedTag/"
Tag = tuple[str, str]


@dataclass(kw_only=True)
class RetentionRule:
    """Of what has the tag `of`, or with `but`, of all that has not that tag."""

    owner: str
    kind: str
    days: int
    of: Tag | None = None
    but: Tag | None = None
    lock: str = "never"
    unlocks_at: datetime | None = None


@dataclass(kw_only=True)
class RetentionRules:
    """`retention` is by id, `tags` by who gave them and to what."""

    now: datetime
    retention: dict[str, RetentionRule] = field(default_factory=dict)
    tags: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)

    def bin_until(self, account: str, kind: str, resource_id: str) -> datetime | None:
        """When what is deleted now leaves the bin: by the longest rule, if there is one."""
        tags = self.tags.get((account, resource_id), {}).items()
        days = [
            rule.days
            for rule in self.retention.values()
            if (rule.owner, rule.kind) == (account, kind)
            and (rule.of is None or rule.of in tags)
            and (rule.but is None or rule.but not in tags)
        ]
        return self.now + max(days) * DAY if days else None

    def keep(self, rule_id: str, rule: RetentionRule) -> str:
        """One tag is in five rules of an account at most, whatever they are about."""
        alike = [each for each in self.retention.values() if each.owner == rule.owner]
        if rule.of is not None and sum(each.of == rule.of for each in alike) >= RULES_OF_A_TAG:
            return TOO_MANY
        self.retention[rule_id] = rule
        return ""

    def _changeable(self, account: str, rule_id: str) -> str:
        rule = self.retention.get(rule_id)
        if rule is None or rule.owner != account:
            return NO_RULE
        return "" if self.lock_state(rule) in ("never", "unlocked") else HELD

    def lock_state(self, rule: RetentionRule) -> str:
        waits = rule.unlocks_at is not None and self.now < rule.unlocks_at
        return "pending_unlock" if waits else rule.lock

    def keep_for(self, account: str, rule_id: str, days: int) -> str:
        """What is in the bin already stays there for the time that it was given."""
        refusal = self._changeable(account, rule_id)
        if not refusal:
            self.retention[rule_id].days = days
        return refusal

    def drop_rule(self, account: str, rule_id: str) -> str:
        """What the rule brought into the bin stays there for its time."""
        refusal = self._changeable(account, rule_id)
        if not refusal:
            del self.retention[rule_id]
        return refusal

    def lock_rule(self, account: str, rule_id: str, *, on: bool) -> str:
        rule = self.retention.get(rule_id)
        if rule is None or rule.owner != account:
            return NO_RULE
        if (rule.lock == "locked") == on:
            return HELD
        if on and (rule.of is not None or rule.but is not None):
            return NOT_LOCKABLE
        rule.lock = "locked" if on else "unlocked"
        rule.unlocks_at = None if on else self.now + UNLOCK_DELAY
        return ""

    def listed_rules(self, account: str, kind: str) -> dict[str, tuple[int, str]]:
        """The days of each and the state of its lock."""
        return {
            rule_id: (rule.days, self.lock_state(rule))
            for rule_id, rule in self.retention.items()
            if (rule.owner, rule.kind) == (account, kind)
        }

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
