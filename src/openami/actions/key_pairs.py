"""Key pairs: made here or brought along. The private half is told once and never kept.

Fingerprints: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/verify-keys.html
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_ssh_public_key,
)

from openami.actions.quotas import Quota, check_room
from openami.catalog import key_pairs, tags
from openami.catalog.catalog import Transaction
from openami.domain.caller import Caller
from openami.domain.errors import EC2Error, InvalidParameterValue, KeyPairNotFound
from openami.domain.filter import Filter
from openami.domain.ids import KeyPairId
from openami.domain.key_pair import KeyPair
from openami.services import Services

RSA_BITS: Final = 2048
RSA_IMPORTED_BITS: Final = (1024, 2048, 4096)
NAME_CHARACTERS_MAX: Final = 255

Tags = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribedKeyPair:
    pair: KeyPair
    tags: Tags


def create_key_pair(
    svc: Services, caller: Caller, name: str, key_type: str, tagged: Tags
) -> tuple[KeyPair, str]:
    """The pair and its private key, as EC2 hands it out: PEM for RSA, OpenSSH's for ED25519."""
    private = _generated(key_type)
    if isinstance(private, RSAPrivateKey):
        secret_form, fingerprint = PrivateFormat.TraditionalOpenSSL, _sha1_of_private(private)
    else:
        secret_form, fingerprint = PrivateFormat.OpenSSH, _sha256(private.public_key())
    secret = private.private_bytes(Encoding.PEM, secret_form, NoEncryption()).decode()
    pair = _kept(svc, caller, name, (key_type, fingerprint, private.public_key()), tagged)
    return pair, secret


def _generated(key_type: str) -> RSAPrivateKey | Ed25519PrivateKey:
    if key_type == "rsa":
        return generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    if key_type == "ed25519":
        return Ed25519PrivateKey.generate()
    raise InvalidParameterValue(
        f"Value ({key_type}) for parameter keyType is invalid. It must be rsa or ed25519."
    )


def import_key_pair(
    svc: Services, caller: Caller, name: str, material: bytes, tagged: Tags
) -> KeyPair:
    """Keep a public key: an OpenSSH line, or DER in base64. Raises InvalidKey.Format."""
    public = _parsed(material)
    if isinstance(public, RSAPublicKey):
        kind, fingerprint = "rsa", _md5_of_public(public)
    else:
        kind, fingerprint = "ed25519", _sha256(public)
    return _kept(svc, caller, name, (kind, fingerprint, public), tagged)


def _parsed(material: bytes) -> RSAPublicKey | Ed25519PublicKey:
    text = material.strip()
    try:
        if text.startswith(b"ssh-"):
            key = load_ssh_public_key(text)
        else:
            key = load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as wrong:
        raise _bad_key("Key is not in valid OpenSSH public key format") from wrong
    if isinstance(key, RSAPublicKey) and key.key_size not in RSA_IMPORTED_BITS:
        raise _bad_key(f"RSA keys have 1024, 2048 or 4096 bits, not {key.key_size}")
    if isinstance(key, RSAPublicKey | Ed25519PublicKey):
        return key
    raise _bad_key("Key is neither RSA nor ED25519")


def _bad_key(sentence: str) -> EC2Error:
    return EC2Error.of("InvalidKey.Format", sentence)


def _kept(
    svc: Services,
    caller: Caller,
    name: str,
    key: tuple[str, str, RSAPublicKey | Ed25519PublicKey],
    tagged: Tags,
) -> KeyPair:
    key_type, fingerprint, public = key
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isascii():
        raise InvalidParameterValue(
            f"Value ({name}) for parameter KeyName is invalid."
            f" A name has 1 to {NAME_CHARACTERS_MAX} ASCII characters."
        )
    with svc.catalog.begin() as tx:
        if key_pairs.find(tx, caller.account, caller.region, name) is not None:
            raise EC2Error.of("InvalidKeyPair.Duplicate", f"The keypair '{name}' already exists.")
        check_room(svc, tx, Quota.KEY_PAIRS, caller.account, caller.region)
        pair = KeyPair(
            id=KeyPairId(svc.ids.new("key")),
            region=caller.region,
            owner=caller.account,
            name=name,
            key_type=key_type,
            fingerprint=fingerprint,
            public_key=public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
            created_at=svc.clock.now(),
        )
        key_pairs.add(tx, pair)
        tags.put(tx, caller.account, caller.region, ("key-pair", pair.id), tagged)
    return pair


def delete_key_pair(
    svc: Services, caller: Caller, name: str | None, key_pair_id: KeyPairId | None
) -> KeyPairId | None:
    """Forget a pair; None if there is none of that name, which is no error (an id is)."""
    with svc.catalog.begin() as tx:
        if key_pair_id is not None:
            pair = _by_id(tx, caller, key_pair_id)
        else:
            pair = key_pairs.find(tx, caller.account, caller.region, name or "")
        if pair is None:
            return None
        key_pairs.remove(tx, pair)
        tags.remove_all(tx, pair.id)
        return pair.id


def _by_id(tx: Transaction, caller: Caller, key_pair_id: KeyPairId) -> KeyPair:
    wanted = Filter(name="key-pair-id", values=(key_pair_id,))
    found = key_pairs.describe(tx, caller, [wanted])
    if not found:
        raise KeyPairNotFound(key_pair_id)
    return found[0]


def describe_key_pairs(
    svc: Services,
    caller: Caller,
    names: Sequence[str],
    key_pair_ids: Sequence[KeyPairId],
    conditions: Sequence[Filter],
) -> list[DescribedKeyPair]:
    """By name. Raises KeyPairNotFound for a name or an id that is not the caller's."""
    with svc.catalog.read() as tx:
        asked = {
            *(key_pairs.fetch_owned(tx, caller.account, caller.region, each).id for each in names),
            *(_by_id(tx, caller, each).id for each in key_pair_ids),
        }
        found = [
            pair
            for pair in key_pairs.describe(tx, caller, conditions)
            if pair.id in asked or not (names or key_pair_ids)
        ]
        tagged = tags.of_many(tx, caller.account, [pair.id for pair in found])
    return [DescribedKeyPair(pair=pair, tags=tagged.get(pair.id, {})) for pair in found]


def _sha1_of_private(private: RSAPrivateKey) -> str:
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return _colons(hashlib.sha1(der, usedforsecurity=False).digest())


def _md5_of_public(public: RSAPublicKey) -> str:
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _colons(hashlib.md5(der, usedforsecurity=False).digest())


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def _sha256(public: Ed25519PublicKey) -> str:
    """As `ssh-keygen -l` prints it after `SHA256:`, with the padding that EC2 keeps."""
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64encode(hashlib.sha256(base64.b64decode(line.split()[1])).digest()).decode()
