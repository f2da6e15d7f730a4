"""Resources that name images."""

from openami.catalog import instances
from openami.domain.ids import AccountId, InstanceId
from openami.services import Services
from support.asking import ask
from support.builders import ALICE, HERE, an_instance


def put_instance(svc: Services, number: int, **but: object) -> str:
    """The ARN of the instance of that number: each has addresses of its own."""
    own = {"private_ip": f"172.31.0.{number}", "public_ip": None, "port_number": None}
    made = an_instance(**{"id": InstanceId(f"i-{number:017x}"), **own, **but})
    with svc.catalog.begin() as tx:
        instances.add(tx, made)
    return f"arn:aws:ec2:{made.region}:{made.owner}:instance/{made.id}"


def make_template(
    svc: Services, *image_ids: str, account: AccountId = ALICE, name: str = "web"
) -> str:
    """The ARN of a launch template with a version of each image, the newest last."""
    made = ""
    for number, image_id in enumerate(image_ids):
        asked = {"LaunchTemplateName": name, "LaunchTemplateData": {"ImageId": image_id}}
        if number:
            ask(svc, "CreateLaunchTemplateVersion", account, **asked)
        else:
            answer = ask(svc, "CreateLaunchTemplate", account, **asked)
            made = str(answer["LaunchTemplate"]["LaunchTemplateId"])
    return f"arn:aws:ec2:{HERE}:{account}:launch-template/{made}"
