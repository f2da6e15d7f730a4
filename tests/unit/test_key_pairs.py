"""Key pairs: made, imported, told by the fingerprints that EC2 tells."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from openami.services import Services
from support.builders import BOB, THERE, a_caller
from support.calls import call, refused
from support.fakes import services
from support.hypervisor import ScriptedHypervisor


@pytest.fixture
def svc(tmp_path: Path) -> Iterator[Services]:
    made = services(tmp_path, compute=ScriptedHypervisor())
    yield made
    made.catalog.close()


def _output(*command: str, stdin: bytes = b"") -> str:
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout.decode()


def _public_line(private: str, tmp_path: Path) -> str:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(private)
    return _output("ssh-keygen", "-y", "-f", str(file)).strip()


def test_a_created_rsa_pair_is_pem_with_the_sha1_of_its_private_half(
    svc: Services, tmp_path: Path
) -> None:
    made = call(svc, "CreateKeyPair", KeyName="k")
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    der = subprocess.run(
        ["openssl", "pkcs8", "-in", "/dev/stdin", "-nocrypt", "-topk8", "-outform", "DER"],
        input=made["KeyMaterial"].encode(),
        capture_output=True,
        check=True,
    ).stdout
    digest = _output("openssl", "sha1", "-c", stdin=der).split("= ")[1].strip()
    assert made["KeyFingerprint"] == digest
    (found,) = call(svc, "DescribeKeyPairs", IncludePublicKey=True)["KeyPairs"]
    assert found["PublicKey"] == f"{_public_line(made['KeyMaterial'], tmp_path)} k"


def test_a_created_ed25519_pair_is_openssh_with_its_sha256(svc: Services, tmp_path: Path) -> None:
    made = call(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    assert made["KeyMaterial"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    public = tmp_path / "key.pub"
    public.write_text(_public_line(made["KeyMaterial"], tmp_path))
    told = _output("ssh-keygen", "-l", "-f", str(public)).split()[1]
    assert told == "SHA256:" + made["KeyFingerprint"].rstrip("=")


def test_an_imported_rsa_key_has_the_md5_of_its_public_half(svc: Services, tmp_path: Path) -> None:
    _output("ssh-keygen", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "own"))
    line = (tmp_path / "own.pub").read_bytes()
    made = call(svc, "ImportKeyPair", KeyName="k", PublicKeyMaterial=line)
    pem = _output("ssh-keygen", "-e", "-m", "PKCS8", "-f", str(tmp_path / "own.pub")).encode()
    der = subprocess.run(
        ["openssl", "pkey", "-pubin", "-in", "/dev/stdin", "-outform", "DER"],
        input=pem,
        capture_output=True,
        check=True,
    ).stdout
    digest = _output("openssl", "md5", "-c", stdin=der).split("= ")[1].strip()
    assert made["KeyFingerprint"] == digest


def test_a_name_is_taken_once_per_region(svc: Services) -> None:
    call(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    code = refused(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    assert code == "InvalidKeyPair.Duplicate"
    call(svc, "CreateKeyPair", a_caller(region=THERE), KeyName="k", KeyType="ed25519")


def test_deleting_a_name_that_is_not_there_is_no_error_and_an_id_is(svc: Services) -> None:
    assert call(svc, "DeleteKeyPair", KeyName="nobody's")["Return"] is True
    code = refused(svc, "DeleteKeyPair", KeyPairId="key-0000000000000000f")
    assert code == "InvalidKeyPair.NotFound"
    made = call(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    assert call(svc, "DeleteKeyPair", KeyName="k")["KeyPairId"] == made["KeyPairId"]
    assert call(svc, "DescribeKeyPairs")["KeyPairs"] == []


def test_another_accounts_key_does_not_exist(svc: Services) -> None:
    call(svc, "CreateKeyPair", KeyName="k", KeyType="ed25519")
    bob = a_caller(BOB)
    assert refused(svc, "DescribeKeyPairs", bob, KeyNames=["k"]) == "InvalidKeyPair.NotFound"
    call(svc, "DeleteKeyPair", bob, KeyName="k")
    assert len(call(svc, "DescribeKeyPairs")["KeyPairs"]) == 1


@pytest.mark.parametrize(
    "material", [b"", b"ssh-rsa AAAA", b"nonsense", b"ssh-dss AAAAB3NzaC1kc3M="]
)
def test_what_is_no_public_key_is_refused(svc: Services, material: bytes) -> None:
    code = refused(svc, "ImportKeyPair", KeyName="k", PublicKeyMaterial=material)
    assert code == "InvalidKey.Format"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"KeyName": ""}, "InvalidParameterValue"),
        ({"KeyName": "x" * 256}, "InvalidParameterValue"),
        ({"KeyName": "k", "KeyType": "dsa"}, "InvalidParameterValue"),
        ({"KeyName": "k", "KeyFormat": "ppk"}, "UnsupportedOperation"),
    ],
)
def test_a_bad_request_is_refused(svc: Services, asked: dict[str, str], code: str) -> None:
    assert refused(svc, "CreateKeyPair", **asked) == code
