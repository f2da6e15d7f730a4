"""One frozen tree of settings: defaults, then openami.toml, then OPENAMI_* variables.

Only openami.app reads the environment; this module is told it. Unknown keys are errors:
a misspelt setting must not be silently ignored.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, cast

from openami.domain.limits.quota import Quota, limits
from openami.domain.store_place import BucketPlace, is_bucket


class SettingsError(Exception):
    """A setting is unknown or has no meaning; the message names it."""


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "compute_driver": ("qemu", "record"),
    "accelerator": ("auto", "kvm", "tcg"),
    "egress": ("none", "nat"),
    "throttling": ("none", "ec2"),
    "block_daemon": ("on", "off"),
    "changed_blocks_of": ("lineage", "any"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every knob of openami. Each may be given as a key of openami.toml or as OPENAMI_<KEY>."""

    state_dir: Path = Path("/var/lib/openami")
    build_cache: Path = Path("/var/cache/openami")  # disks that `openami image build` made
    host: str = "127.0.0.1"
    port: int = 8773
    regions: tuple[str, ...] = ("us-east-1", "us-west-2")
    region_stores: tuple[str, ...] = ()  # "region=/directory" or "region=s3://bucket/prefix"
    region_store_keys: tuple[str, ...] = field(default=(), repr=False)  # "region=id:secret"
    compute_driver: str = "qemu"  # "qemu" or "record"
    accelerator: str = "auto"  # "auto" (a trial boot decides), "kvm" or "tcg"
    block_daemon: str = "on"  # "on": machines start before their disks are on this host
    egress: str = "none"  # the guests' way out of their VPC: "none" or "nat"
    vpc_pool: str = "10.112.0.0/12"  # each VPC gets a /20 of it
    public_ip_pool: str = "127.100.0.0/16"  # loopback addresses on which guests are reached
    first_machine_uid: int = 2_000_000  # machine n runs as the user first_machine_uid + n
    stop_timeout_s: float = 120.0  # how long a guest may take to shut down before it is killed
    settle_timeout_s: float = 5.0  # how long a call waits for its own work, see D19
    quotas: tuple[str, ...] = ()  # "name=limit", see docs/settings.md
    volume_modifications_per_day: int = 4  # of one volume, in any 24 hours; 0 is no limit
    collect_every_s: float = 3600.0  # how often what no disk needs goes; 0: only when asked
    cache_gib_max: float = 0.0  # of the host's bases that no volume uses; 0 is no limit
    hydrate_mib_per_s: float = 256.0  # how fast disks are brought to a host; 0: no limit
    changed_blocks_of: str = "lineage"  # "any": ListChangedBlocks compares unrelated snapshots
    direct_snapshots_max: int = 100  # pending ones of StartSnapshot, of an account in a region
    direct_snapshot_hours_max: float = 72.0  # from StartSnapshot to CompleteSnapshot; 0: no limit
    snapshot_copies_max: int = 20  # at once, of an account into a region
    store_image_gib_max: int = 1200  # of an account in a region at once; CreateStoreImageTask
    restore_image_gib_max: int = 600  # likewise; CreateRestoreImageTask
    import_tasks_max: int = 20  # at once, of an account in a region
    import_directory: str = ""  # file:// URLs of imports name files in it; empty: none is read
    export_tasks_max: int = 5  # at once, of an account in a region
    transfers_max: int = 10  # imports, exports, stored and restored images that run at once
    snapshots_at_once: int = 16  # copies of volumes on their way into a store
    copies_at_once: int = 10  # snapshots on their way to regions, archives and this host
    store_patience_s: float = 900.0  # how long work waits for a region's store that is away
    launch_patience_s: float = 300.0  # how long a launch and a start do
    memory_overcommit: float = 1.0  # guests' memory may add up to this share of the host's
    clock_skew_s: float = 900.0
    clock_ahead_s: float = 0.0  # openami's time runs so far ahead: to rehearse what is scheduled
    throttling: str = "none"  # "ec2": requests take tokens of EC2's buckets
    request_bytes_max: int = 1024 * 1024
    s3_endpoint: str = "embedded"  # "embedded" (SeaweedFS on loopback), "none", or a URL
    s3_access_key_id: str = ""
    s3_secret_access_key: str = field(default="", repr=False)
    s3_region: str = "us-east-1"
    s3_patience_s: float = 120.0  # how long a transfer waits for an S3 that does not answer
    public_base_url: str = ""  # as clients reach us; told by DescribeRegions

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingsError(f"{name} is {getattr(self, name)!r}: {' or '.join(choices)}")
        if self.s3_endpoint not in ("embedded", "none") and not _is_http(self.s3_endpoint):
            raise SettingsError(f"s3_endpoint is {self.s3_endpoint!r}: embedded, none or a URL")
        if self.import_directory and not self.import_directory.startswith("/"):
            raise SettingsError(f"import_directory is {self.import_directory!r}: not absolute")
        for name in ("transfers_max", "snapshots_at_once", "copies_at_once"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}: at least 1")
        self._limits()
        self._check_regions()

    def _check_regions(self) -> None:
        if not self.regions:
            raise SettingsError("regions is empty: name at least one")
        for region, place in _pairs(self.region_stores):
            self._place(region, place)
        for region, keys in _pairs(self.region_store_keys):
            if not (region and all(keys.partition(":"))):
                raise SettingsError(f"region_store_keys for {region!r}: not <region>=<id>:<secret>")

    def quota(self, quota: Quota) -> int:
        """The limit of an account in a region; 0 is none."""
        return self._limits()[quota]

    def _limits(self) -> Mapping[Quota, int]:
        try:
            return limits(self.quotas)
        except ValueError as bad:
            raise SettingsError(f"quotas is {','.join(self.quotas)!r}: {bad}") from bad

    @property
    def store_of(self) -> Mapping[str, Path | BucketPlace]:
        """Region → its place in `region_stores`. Raises SettingsError for an unknown region."""
        for name in ("region_stores", "region_store_keys"):
            for region, _ in _pairs(getattr(self, name)):
                if region not in self.regions:
                    raise SettingsError(f"{name} names {region}, which is not in regions")
        return {region: self._place(region, place) for region, place in _pairs(self.region_stores)}

    def _place(self, region: str, text: str) -> Path | BucketPlace:
        if text.startswith("/"):
            return Path(text)
        if not is_bucket(text):
            raise SettingsError(
                f"region_stores has {region}={text}: not <region>=</a/directory>, and not"
                " <region>=s3://<bucket>/<prefix>"
            )
        keys = dict(_pairs(self.region_store_keys)).get(region)
        access_key_id, _, secret = (keys or "").partition(":")
        try:
            return BucketPlace.parse(
                text,
                endpoint=self.s3_endpoint,
                region=self.s3_region,
                keys=(
                    access_key_id or self.s3_access_key_id,
                    secret or self.s3_secret_access_key,
                ),
            )
        except ValueError as wrong:
            raise SettingsError(f"region_stores has {region}={text}: {wrong}") from wrong


def _pairs(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    parts = [each.partition("=") for each in texts]
    return [(name, value) for name, _, value in parts]


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://")) and len(url.split("/")[2]) > 0


def load(file: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from `file` (absent is fine) and the OPENAMI_* variables of `environment`.

    Raises SettingsError for an unknown key or a value of the wrong kind.
    """
    given: dict[str, Any] = {}
    if file is not None and file.exists():
        given.update(tomllib.loads(file.read_text()))
    prefix = "OPENAMI_"
    for name, text in environment.items():
        if name.startswith(prefix):
            given[name.removeprefix(prefix).lower()] = text
    defaults = Settings()
    known = {field.name for field in fields(Settings)}
    changes = {}
    for name, value in given.items():
        if name not in known:
            raise SettingsError(f"unknown setting {name!r}; known are {', '.join(sorted(known))}")
        changes[name] = _converted(name, value, getattr(defaults, name))
    return replace(defaults, **changes)


def _converted(name: str, value: object, default: object) -> object:
    try:
        match default:
            case Path():
                return Path(str(value))
            case tuple():
                text = (
                    value
                    if isinstance(value, str)
                    else ",".join(map(str, cast("list[object]", value)))
                )
                return tuple(part.strip() for part in text.split(",") if part.strip())
            case int():
                return int(str(value))
            case float():
                return float(str(value))
            case _:
                return str(value)
    except ValueError as wrong:
        raise SettingsError(f"setting {name!r} cannot be {value!r}") from wrong
