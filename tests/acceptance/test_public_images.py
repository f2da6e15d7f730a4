"""The operator's public catalogue, as its users find it."""

from pathlib import Path

from support import api
from support.server import Server

NAME = "/aws/service/debian/release/12/latest/amd64"


def test_s12_a_public_image_is_found_by_its_alias_its_name_and_its_parameter(
    record_server: Server, small_disk: Path
) -> None:
    server, account = record_server, "s12"
    published = server.openami(
        *("image", "import", str(small_disk), "--name", "debian-12-amd64"),
        *("--alias", "amazon", "--ssm-parameter", NAME),
    ).stdout.strip()
    (image,) = server.aws(
        *("ec2", "describe-images", "--owners", "amazon"),
        *("--filters", "Name=name,Values=debian-12-*"),
        account=account,
    )["Images"]
    assert (image["ImageId"], image["Public"]) == (published, True)
    assert (image["ImageOwnerAlias"], image["PublicSsmParameterName"]) == ("amazon", NAME)
    launched = server.aws(
        *("ec2", "run-instances", "--image-id", f"resolve:ssm:{NAME}"),
        *("--instance-type", "t3.micro"),
        account=account,
    )["Instances"][0]
    assert launched["ImageId"] == published
    ssm = server.client("ssm", account=account)
    (found,) = ssm.get_parameters_by_path(Path="/aws/service/debian", Recursive=True)["Parameters"]
    assert (found["Value"], found["ARN"]) == (published, f"arn:aws:ssm:us-east-1::parameter{NAME}")
    asked = {"Name": "/aws/service/mine", "Value": "x", "Type": "String"}
    assert api.refusal(ssm.put_parameter, **asked) == "AccessDeniedException"
    ec2 = server.client(account=account)
    assert api.refusal(ec2.deregister_image, ImageId=published) == "AuthFailure"


def test_only_what_an_alias_owns_is_published(record_server: Server, small_disk: Path) -> None:
    done = record_server.openami("image", "import", str(small_disk), "--name", "not-public")
    refused = record_server.openami("image", "publish", done.stdout.strip(), check=False)
    assert refused.returncode != 0
    assert "has no alias" in refused.stderr
    alone = ("--name", "x", "--ssm-parameter", NAME)
    refused = record_server.openami("image", "import", str(small_disk), *alone, check=False)
    assert "needs --alias" in refused.stderr
