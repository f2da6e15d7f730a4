"""Throttled requests, as a client that tries again meets them."""

import time
from collections.abc import Generator

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.server import SESSION, Server, serving

WAIT_S, REFILLED_PER_S = 5, 2


@pytest.fixture(scope="module")
def throttled_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    state_dir = tmp_path_factory.mktemp("throttled") / "state"
    with serving(state_dir, "record", throttling="ec2") as server:
        yield server


def test_who_asks_too_often_is_refused_as_by_ec2(throttled_server: Server) -> None:
    ec2 = throttled_server.client(account="hasty")
    with pytest.raises(ClientError) as refused:
        # One token, refilled in ten seconds: two of these calls are sooner than that.
        for _ in range(10):
            ec2.disable_image_block_public_access()
    assert refused.value.response["Error"] == {
        "Code": "RequestLimitExceeded",
        "Message": "Request limit exceeded.",
    }
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_a_client_that_backs_off_gets_through(throttled_server: Server) -> None:
    keys = throttled_server.account("patient")
    client = SESSION.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=throttled_server.url,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        config=Config(retries={"mode": "standard", "total_max_attempts": 30}),
    )

    def launch(count: int) -> int:
        """How often it was tried again. That the image does not exist is told to who got in."""
        with pytest.raises(ClientError) as refused:
            client.run_instances(ImageId="ami-00000000000000000", MinCount=1, MaxCount=count)
        assert refused.value.response["Error"]["Code"] == "InvalidAMIID.NotFound"
        return refused.value.response["ResponseMetadata"]["RetryAttempts"]

    began_s = time.monotonic()
    launch(1000)  # a token for each instance: all there are
    retried = launch(WAIT_S * REFILLED_PER_S)
    assert retried > 0 or time.monotonic() - began_s > WAIT_S
    client.close()
