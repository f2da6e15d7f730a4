"""S3 on openami's own port: one endpoint URL, the accounts' own buckets."""

import hashlib
import http.client
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError as BotoError

from openami.wire import aws_chunked, sigv4
from openami.wire.aws_chunked import Seed
from openami.wire.sigv4 import Claim
from support.server import Server

A, B = "s3-a", "s3-b"


@pytest.fixture(scope="module")
def mine(record_server: Server) -> Any:
    return record_server.client("s3", A)


@pytest.fixture(scope="module")
def theirs(record_server: Server) -> Any:
    return record_server.client("s3", B)


@pytest.fixture(scope="module")
def bucket(mine: Any) -> str:
    mine.create_bucket(Bucket="s3-a-things")
    return "s3-a-things"


@pytest.fixture(scope="module")
def foreign(theirs: Any) -> str:
    theirs.create_bucket(Bucket="s3-b-things")
    theirs.put_object(Bucket="s3-b-things", Key="secret", Body=b"theirs")
    return "s3-b-things"


def refusal(call: Any, **more: Any) -> str:
    with pytest.raises(BotoError) as refused:
        call(**more)
    return str(refused.value.response["Error"]["Code"])


def test_the_aws_cli_copies_files_in_and_out_by_one_endpoint_url(
    record_server: Server, bucket: str, tmp_path: Path
) -> None:
    """More than one part: 8 MiB is where the CLI begins to send several."""
    content = hashlib.sha256(b"s3").digest() * (300 * 1024)
    (tmp_path / "there").write_bytes(content)
    url = f"s3://{bucket}/dir/a file"
    record_server.aws("s3", "cp", "--quiet", str(tmp_path / "there"), url, account=A)
    record_server.aws("s3", "cp", "--quiet", url, str(tmp_path / "back"), account=A)
    assert (tmp_path / "back").read_bytes() == content


def test_a_bucket_is_made_told_and_given_up(mine: Any) -> None:
    mine.create_bucket(
        Bucket="s3-a-west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    assert mine.head_bucket(Bucket="s3-a-west")["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert mine.get_bucket_location(Bucket="s3-a-west")["LocationConstraint"] == "us-west-2"
    assert "s3-a-west" in [each["Name"] for each in mine.list_buckets()["Buckets"]]
    mine.delete_bucket(Bucket="s3-a-west")
    assert refusal(mine.head_bucket, Bucket="s3-a-west") == "404"


def test_a_bucket_with_something_in_it_stays(mine: Any, bucket: str) -> None:
    mine.put_object(Bucket=bucket, Key="stays", Body=b"x")
    assert refusal(mine.delete_bucket, Bucket=bucket) == "BucketNotEmpty"
    assert mine.get_object(Bucket=bucket, Key="stays")["Body"].read() == b"x"


def test_objects_are_read_in_ranges_tagged_copied_listed_and_deleted(
    mine: Any, bucket: str
) -> None:
    mine.put_object(Bucket=bucket, Key="o/1", Body=b"0123456789", Tagging="A=b", ContentType="x/y")
    assert mine.head_object(Bucket=bucket, Key="o/1")["ContentType"] == "x/y"
    part = mine.get_object(Bucket=bucket, Key="o/1", Range="bytes=2-4")
    assert part["Body"].read() == b"234"
    assert mine.get_object_tagging(Bucket=bucket, Key="o/1")["TagSet"] == [
        {"Key": "A", "Value": "b"}
    ]
    mine.copy_object(Bucket=bucket, Key="o/2 copy", CopySource={"Bucket": bucket, "Key": "o/1"})
    listed = mine.list_objects_v2(Bucket=bucket, Prefix="o/")["Contents"]
    assert [each["Key"] for each in listed] == ["o/1", "o/2 copy"]
    gone = [{"Key": each["Key"]} for each in listed]
    mine.delete_objects(Bucket=bucket, Delete={"Objects": gone})
    assert "Contents" not in mine.list_objects_v2(Bucket=bucket, Prefix="o/")


def test_an_upload_in_parts_is_whole_when_it_is_completed(mine: Any, bucket: str) -> None:
    part = b"p" * (5 << 20)
    upload = mine.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    which = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    tags = [
        {"PartNumber": n, "ETag": mine.upload_part(**which, PartNumber=n, Body=part)["ETag"]}
        for n in (1, 2)
    ]
    assert len(mine.list_parts(**which)["Parts"]) == 2
    mine.complete_multipart_upload(**which, MultipartUpload={"Parts": tags})
    assert mine.head_object(Bucket=bucket, Key="parts")["ContentLength"] == 10 << 20
    aborted = mine.create_multipart_upload(Bucket=bucket, Key="aborted")["UploadId"]
    mine.abort_multipart_upload(Bucket=bucket, Key="aborted", UploadId=aborted)
    assert refusal(mine.head_object, Bucket=bucket, Key="aborted") == "404"


def test_a_presigned_url_needs_no_keys(record_server: Server, mine: Any, bucket: str) -> None:
    mine.put_object(Bucket=bucket, Key="shown", Body=b"to whom has the URL")
    keys = record_server.account(A)
    request = AWSRequest("GET", f"{record_server.url}/{bucket}/shown")
    credentials = Credentials(keys.access_key_id, keys.secret_access_key)
    S3SigV4QueryAuth(credentials, "s3", "us-east-1", 60).add_auth(request)
    target = request.url.removeprefix(record_server.url)
    assert sent(record_server, "GET", target) == (200, b"to whom has the URL")
    status, body = sent(record_server, "GET", target.replace("/shown", "/other"))
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)


def test_another_account_s_bucket_is_closed(mine: Any, bucket: str, foreign: str) -> None:
    for call in (mine.get_object, mine.put_object, mine.delete_object):
        assert refusal(call, Bucket=foreign, Key="secret") == "AccessDenied"
    assert refusal(mine.head_bucket, Bucket=foreign) == "403"
    assert refusal(mine.list_objects_v2, Bucket=foreign) == "AccessDenied"
    assert refusal(mine.delete_bucket, Bucket=foreign) == "AccessDenied"
    assert refusal(mine.create_bucket, Bucket=foreign) == "BucketAlreadyExists"
    source = {"Bucket": foreign, "Key": "secret"}
    assert refusal(mine.copy_object, Bucket=bucket, Key="c", CopySource=source) == "AccessDenied"
    assert foreign not in [each["Name"] for each in mine.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    "path", ["/{}/../{}/secret", "/{}/%2e%2e/{}/secret", "/{}/..%2f{}%2fsecret", "//{1}/secret"]
)
def test_no_path_leads_out_of_a_bucket(
    record_server: Server, bucket: str, foreign: str, path: str
) -> None:
    status, body = signed(record_server, "GET", path.format(bucket, foreign))
    assert 400 <= status < 500
    assert b"theirs" not in body


@pytest.mark.parametrize("source", ["{}/../{}/secret", "{}%2f..%2f{}%2fsecret", "arn:aws:s3:::x/y"])
def test_no_copy_leads_out_of_a_bucket(
    record_server: Server, bucket: str, foreign: str, source: str
) -> None:
    headers = {"x-amz-copy-source": source.format(bucket, foreign)}
    status, _ = signed(record_server, "PUT", f"/{bucket}/copied", headers=headers)
    assert status == 400


def test_keys_in_a_deletion_of_many_lead_nowhere_else(
    record_server: Server, theirs: Any, bucket: str, foreign: str
) -> None:
    body = f"<Delete><Object><Key>../{foreign}/secret</Key></Object></Delete>".encode()
    signed(record_server, "POST", f"/{bucket}?delete=", body)
    assert theirs.get_object(Bucket=foreign, Key="secret")["Body"].read() == b"theirs"


def test_a_body_that_is_not_what_was_signed_is_not_kept(
    record_server: Server, mine: Any, bucket: str
) -> None:
    status, body = signed(record_server, "PUT", f"/{bucket}/forged", b"good", sent_body=b"evil")
    assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
    assert refusal(mine.head_object, Bucket=bucket, Key="forged") == "404"


@pytest.mark.parametrize("spoiled", [False, True])
def test_a_body_in_signed_chunks_is_verified_chunk_by_chunk(
    record_server: Server, mine: Any, bucket: str, spoiled: bool
) -> None:
    parts = (b"a" * 70_000, b"b" * 10)
    status = send_signed_chunks(record_server, f"/{bucket}/chunks-{spoiled}", parts, spoiled)
    if spoiled:
        assert status == 403
        assert refusal(mine.head_object, Bucket=bucket, Key="chunks-True") == "404"
    else:
        assert status == 200
        found = mine.get_object(Bucket=bucket, Key="chunks-False")["Body"].read()
        assert found == b"".join(parts)


def test_a_body_with_a_checksum_behind_it_is_taken(
    record_server: Server, mine: Any, bucket: str
) -> None:
    """As SDKs send it that cannot read a body twice; the sum is the store's to check."""
    body = aws_chunked.encoded(b"hello") + aws_chunked.last({"x-amz-checksum-crc32": "NhCmhg=="})
    headers = {
        "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "content-encoding": "aws-chunked",
        "x-amz-decoded-content-length": "5",
        "x-amz-trailer": "x-amz-checksum-crc32",
    }
    status, told = signed(record_server, "PUT", f"/{bucket}/summed", body, headers=headers)
    assert status == 200, told
    found = mine.get_object(Bucket=bucket, Key="summed", ChecksumMode="ENABLED")
    assert found["Body"].read() == b"hello"
    wrong = aws_chunked.encoded(b"hellO") + aws_chunked.last({"x-amz-checksum-crc32": "NhCmhg=="})
    status, told = signed(record_server, "PUT", f"/{bucket}/wrong", wrong, headers=headers)
    assert status == 400, told


def test_what_is_not_passed_on_says_so_in_s3_s_xml(mine: Any, bucket: str) -> None:
    assert refusal(mine.get_bucket_policy, Bucket=bucket) == "NotImplemented"
    code = refusal(mine.put_object, Bucket=bucket, Key="k", ACL="public-read")
    assert code == "AccessControlListNotSupported"
    assert refusal(mine.create_bucket, Bucket="s3--.bad") == "InvalidBucketName"


def test_the_store_listens_on_loopback_alone(record_server: Server, mine: Any, bucket: str) -> None:
    pid = int((record_server.state_dir / "s3" / "weed.pid").read_text())
    sockets = set(sockets_of(pid))
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "0" * 24 + "01000000")):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                assert fields[1].startswith(loopback), line


def sockets_of(pid: int) -> list[str]:
    found: list[str] = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(each.readlink()))
        except FileNotFoundError:
            continue
    return found


def sent(
    server: Server, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] = {}
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request(method, target, body=body, headers=dict(headers))
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def signed(
    server: Server,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    headers: Mapping[str, str] = {},
    sent_body: bytes | None = None,
) -> tuple[int, bytes]:
    return sent(
        *(server, method, target, body if sent_body is None else sent_body),
        signature(server, method, target, body, headers),
    )


def signature(
    server: Server, method: str, target: str, body: bytes, headers: Mapping[str, str]
) -> dict[str, str]:
    keys = server.account(A)
    request = AWSRequest(method, server.url + target, headers=dict(headers), data=body)
    if "x-amz-content-sha256" in headers:
        request.context["payload_signing_enabled"] = True
    signer = _Declared(Credentials(keys.access_key_id, keys.secret_access_key), "s3", "us-east-1")
    signer.add_auth(request)
    return dict(request.headers.items())


class _Declared(S3SigV4Auth):
    """Signs the word that a test put in the place of the body's digest."""

    def _modify_request_before_signing(self, request: Any) -> None:
        declared = request.headers.get("x-amz-content-sha256")
        super()._modify_request_before_signing(request)
        if declared is not None:
            del request.headers["X-Amz-Content-SHA256"]
            request.headers["X-Amz-Content-SHA256"] = declared


def send_signed_chunks(server: Server, path: str, parts: tuple[bytes, ...], spoiled: bool) -> int:
    """A client that signs each chunk, spoken byte by byte."""
    headers = signature(
        *(server, "PUT", path, b""),
        {
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(sum(map(len, parts))),
        },
    )
    seed = _seed(server, headers)
    body, previous = b"", seed.signature
    for part in (*parts, b""):
        previous = _chunk_signature(seed, previous, part)
        shown = b"X" + part[1:] if spoiled and part is parts[-1] else part
        body += b"%x;chunk-signature=%b\r\n%b\r\n" % (len(part), previous.encode(), shown)
    return sent(server, "PUT", path, body, headers)[0]


def _seed(server: Server, headers: Mapping[str, str]) -> Seed:
    fields = headers["Authorization"]
    claim = Claim(
        access_key_id="",
        date=headers["X-Amz-Date"][:8],
        region="us-east-1",
        service="s3",
        signed_at=datetime.strptime(headers["X-Amz-Date"], sigv4.ISO_BASIC).replace(tzinfo=UTC),
        life=None,
        signed_headers=(),
        signature=fields.partition("Signature=")[2],
    )
    return Seed.of(server.account(A).secret_access_key, claim)


def _chunk_signature(seed: Seed, previous: str, part: bytes) -> str:
    import hmac

    nothing, digest = hashlib.sha256().hexdigest(), hashlib.sha256(part).hexdigest()
    text = "\n".join(
        ("AWS4-HMAC-SHA256-PAYLOAD", seed.instant, seed.scope, previous, nothing, digest)
    )
    return hmac.new(seed.key, text.encode(), hashlib.sha256).hexdigest()


def test_a_client_that_breaks_off_leaves_no_object(
    record_server: Server, mine: Any, bucket: str
) -> None:
    headers = signature(record_server, "PUT", f"/{bucket}/torn", b"x" * 1000, {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"PUT /{bucket}/torn HTTP/1.1\r\nHost: 127.0.0.1:{record_server.port}\r\n{lines}"
    with socket.create_connection(("127.0.0.1", record_server.port)) as client:
        client.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + b"x" * 999)
    assert refusal(mine.head_object, Bucket=bucket, Key="torn") == "404"


def test_the_region_of_a_bucket_is_told_with_its_head(mine: Any, bucket: str) -> None:
    assert mine.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"


def test_an_upload_in_parts_can_be_gone_on_with_by_its_checksums(mine: Any, bucket: str) -> None:
    """As awspub does: what is there already is not sent again."""
    of = {"Bucket": bucket, "Key": "resumed"}
    upload = of | {
        "UploadId": mine.create_multipart_upload(**of, ChecksumAlgorithm="SHA256")["UploadId"]
    }
    assert mine.list_parts(**upload)["ChecksumAlgorithm"] == "SHA256"
    assert mine.list_parts(**upload).get("Parts", []) == []
    data = b"x" * (5 << 20)
    first = mine.upload_part(**upload, PartNumber=1, Body=data, ChecksumAlgorithm="SHA256")
    (part,) = mine.list_parts(**upload)["Parts"]
    assert part["ChecksumSHA256"] == first["ChecksumSHA256"]
    parts = [{name: part[name] for name in ("PartNumber", "ETag", "ChecksumSHA256")}]
    mine.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert mine.get_object(**of)["Body"].read() == data
    plain = of | {"UploadId": mine.create_multipart_upload(**of)["UploadId"]}
    mine.abort_multipart_upload(**plain)
    assert refusal(mine.list_parts, **plain) == "NoSuchUpload"
