"""Launch templates and parameters of images, as the aws CLI asks for them."""

import json
from collections.abc import Callable

from support import api
from support.server import Server


def test_s17_a_launch_takes_its_template_and_what_the_request_says_wins(
    record_server: Server, small_ami_of: Callable[[str], str]
) -> None:
    server, account = record_server, "s17"
    image_id = small_ami_of(account)
    data = {"ImageId": image_id, "InstanceType": "t3.micro"}
    base = ("ec2", "create-launch-template", "--launch-template-name", "web")
    made = server.aws(*base, "--launch-template-data", json.dumps(data), account=account)
    template_id = made["LaunchTemplate"]["LaunchTemplateId"]
    server.aws(
        *("ec2", "create-launch-template-version", "--launch-template-id", template_id),
        *("--source-version", "1", "--launch-template-data", '{"InstanceType":"t3.small"}'),
        account=account,
    )

    def launched(template: str, *more: str) -> dict[str, str]:
        answer = server.aws(
            "ec2", "run-instances", "--launch-template", template, *more, account=account
        )
        return answer["Instances"][0]

    newest = launched("LaunchTemplateName=web,Version=$Latest")
    assert (newest["ImageId"], newest["InstanceType"]) == (image_id, "t3.small")
    assert launched("LaunchTemplateName=web")["InstanceType"] == "t3.micro"
    override = launched(f"LaunchTemplateId={template_id}", "--instance-type", "t3.medium")
    assert override["InstanceType"] == "t3.medium"
    ec2 = server.client(account=account)
    ec2.modify_launch_template(LaunchTemplateId=template_id, DefaultVersion="2")
    last = ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": template_id}, MinCount=1, MaxCount=1
    )["Instances"][0]
    assert last["InstanceType"] == "t3.small"
    named = [{"Name": "tag:aws:ec2launchtemplate:version", "Values": ["2"]}]
    found = ec2.describe_instances(Filters=named)["Reservations"]
    assert {each["Instances"][0]["InstanceId"] for each in found} == {
        newest["InstanceId"],
        last["InstanceId"],
    }


def test_an_image_is_launched_by_the_parameter_that_names_it(
    record_server: Server, small_ami_of: Callable[[str], str]
) -> None:
    account = "by-parameter"
    image_id = small_ami_of(account)
    put = ("ssm", "put-parameter", "--name", "/golden/web", "--value", image_id)
    of_image = ("--type", "String", "--data-type", "aws:ec2:image")
    assert record_server.aws(*put, *of_image, account=account)["Version"] == 1
    launched = record_server.aws(
        *("ec2", "run-instances", "--image-id", "resolve:ssm:/golden/web"),
        *("--instance-type", "t3.micro"),
        account=account,
    )["Instances"][0]
    assert launched["ImageId"] == image_id
    ssm = record_server.client("ssm", account=account)
    assert ssm.get_parameter(Name="/golden/web")["Parameter"]["Value"] == image_id
    assert api.refusal(ssm.get_parameter, Name="/golden/none") == "ParameterNotFound"
    assert api.refusal(ssm.list_documents) == "UnknownOperationException"
