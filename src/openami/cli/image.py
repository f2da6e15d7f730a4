"""openami image: build a disk image, and make an AMI of a disk file."""

import argparse
import time
from pathlib import Path
from typing import Final

from openami.catalog import images, snapshots
from openami.catalog.catalog import Catalog, Transaction
from openami.cli.command import open_catalog, progress_to_stderr, say
from openami.cli.failed import CommandFailed
from openami.cli.operator_call import call
from openami.diskimage import build_cache
from openami.diskimage.errors import DiskImageError
from openami.domain.account import ALIASES
from openami.domain.ids import ImageId
from openami.domain.image import Image, ImageState
from openami.settings import Settings

POLL_S: Final = 0.1
PARAMETER_HELP: Final = "a public parameter that names it from now on: /aws/service/…"


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    build = actions.add_parser(
        "build", help="build a disk from Debian packages; with --name, an AMI"
    )
    build.add_argument("recipe", choices=build_cache.NAMES, help="what to build")
    build.add_argument("--name", help="also import the disk as an AMI of this name")
    _add_owner(build)
    build.set_defaults(run=run_build)

    bring = actions.add_parser("import", help="make an AMI of a raw, qcow2, vmdk, vhd or vhdx disk")
    bring.add_argument("file", type=Path, help="the disk, on the server's own filesystem")
    bring.add_argument("--name", required=True, help="the AMI's name")
    bring.add_argument(
        "--format", choices=("raw", "qcow2", "vmdk", "vhd", "vhdx"), help="default: by its content"
    )
    _add_owner(bring)
    bring.set_defaults(run=run_import)

    publish = actions.add_parser(
        "publish", help="put an AMI of an account with an alias into the public catalogue"
    )
    publish.add_argument("image_id", metavar="AMI")
    publish.add_argument("--ssm-parameter", help=PARAMETER_HELP)
    publish.set_defaults(run=run_publish)


def _add_owner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="default", help="the owner's name or id")
    parser.add_argument(
        "--alias",
        choices=ALIASES,
        help="into the public catalogue, owned by this alias and not by an account of yours",
    )
    parser.add_argument("--ssm-parameter", help=PARAMETER_HELP + "; needs --alias")
    parser.add_argument("--region", help="default: the first of the setting regions")
    parser.add_argument("--description", default="")
    parser.add_argument(
        "--boot-mode",
        choices=("legacy-bios", "uefi", "uefi-preferred"),
        default="legacy-bios",
        help="the firmware that the disk is made for",
    )


def run_build(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the disk's path, or the AMI's id when --name is given."""
    try:
        disk = build_cache.built(arguments.recipe, settings.build_cache, say)
    except DiskImageError as failed:
        raise CommandFailed(str(failed)) from failed
    if arguments.name is None:
        print(disk)
        return 0
    return _import(settings, arguments, disk, "raw")


def run_import(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the AMI's id once its snapshot is complete."""
    return _import(settings, arguments, arguments.file.absolute(), arguments.format)


def _import(
    settings: Settings, arguments: argparse.Namespace, disk: Path, disk_format: str | None
) -> int:
    if arguments.ssm_parameter is not None and arguments.alias is None:
        raise CommandFailed("--ssm-parameter is for the public catalogue: it needs --alias")
    request = {
        "verb": "import-image",
        "path": str(disk),
        "format": disk_format,
        "name": arguments.name,
        "description": arguments.description,
        "boot_mode": arguments.boot_mode,
        "account": arguments.account,
        "alias": arguments.alias,
        "ssm_parameter": arguments.ssm_parameter,
        "region": arguments.region or settings.regions[0],
    }
    catalog = open_catalog(settings)
    with call(settings, request) as answer:
        image_id = ImageId(str(answer["image_id"]))
        _await(catalog, image_id)
    if arguments.alias is not None:
        _publish(settings, image_id, arguments.ssm_parameter)
    print(image_id)
    return 0


def run_publish(settings: Settings, arguments: argparse.Namespace) -> int:
    _publish(settings, arguments.image_id, arguments.ssm_parameter)
    return 0


def _publish(settings: Settings, image_id: str, parameter: str | None) -> None:
    request = {"verb": "publish-image", "image_id": image_id, "ssm_parameter": parameter}
    with call(settings, request):
        pass


def _await(catalog: Catalog, image_id: ImageId) -> None:
    """Show how far the image is until it is available. Raises CommandFailed if it fails."""
    show = progress_to_stderr("storing the disk")
    while True:
        with catalog.read() as tx:
            image = images.fetch_any(tx, image_id)
            if image is None:
                raise CommandFailed(f"{image_id} was deregistered meanwhile")
            show(_percent(tx, image), 100)
        if image.state is ImageState.AVAILABLE:
            return
        if image.state is not ImageState.PENDING:
            reason = image.state_reason.message if image.state_reason else image.state
            raise CommandFailed(f"the import failed: {reason}")
        time.sleep(POLL_S)


def _percent(tx: Transaction, image: Image) -> int:
    """How much of the least complete snapshot of the image is stored."""
    if image.state is ImageState.AVAILABLE:
        return 100
    ids = [each.ebs.snapshot_id for each in image.block_device_mappings if each.ebs is not None]
    found = [snapshots.fetch_any(tx, each) for each in ids if each is not None]
    return min((each.progress_percent for each in found if each is not None), default=0)
