"""Key pairs: create, import, describe, delete."""

from collections.abc import Mapping
from typing import Any, Final

from openami.actions import key_pairs
from openami.actions.key_pairs import DescribedKeyPair
from openami.domain.caller import Caller
from openami.domain.errors import MissingParameter, UnsupportedOperation
from openami.domain.ids import parse_key_pair_id
from openami.ec2.instance_shapes import tag_list
from openami.ec2.operation import Operation, Request, Result, operation
from openami.ec2.request import filters, tag_specifications
from openami.services import Services


def create_key_pair(svc: Services, caller: Caller, request: Request) -> Result:
    if request.get("KeyFormat", "pem") != "pem":
        raise UnsupportedOperation("openami hands out private keys as pem only")
    tagged = tag_specifications(request, "key-pair").get("key-pair", {})
    key_type = request.get("KeyType", "rsa")
    pair, secret = key_pairs.create_key_pair(svc, caller, request["KeyName"], key_type, tagged)
    return {
        "KeyPairId": pair.id,
        "KeyName": pair.name,
        "KeyFingerprint": pair.fingerprint,
        "KeyMaterial": secret,
        "Tags": tag_list(tagged),
    }


def import_key_pair(svc: Services, caller: Caller, request: Request) -> Result:
    tagged = tag_specifications(request, "key-pair").get("key-pair", {})
    material: bytes = request["PublicKeyMaterial"]
    pair = key_pairs.import_key_pair(svc, caller, request["KeyName"], material, tagged)
    return {
        "KeyPairId": pair.id,
        "KeyName": pair.name,
        "KeyFingerprint": pair.fingerprint,
        "Tags": tag_list(tagged),
    }


def delete_key_pair(svc: Services, caller: Caller, request: Request) -> Result:
    name, key_id = request.get("KeyName"), request.get("KeyPairId")
    if not name and not key_id:
        raise MissingParameter("KeyName")
    parsed = parse_key_pair_id(key_id) if key_id else None
    deleted = key_pairs.delete_key_pair(svc, caller, name, parsed)
    return {"Return": True, "KeyPairId": deleted}


def describe_key_pairs(svc: Services, caller: Caller, request: Request) -> Result:
    ids = [parse_key_pair_id(text) for text in request.get("KeyPairIds", ())]
    names = request.get("KeyNames", ())
    found = key_pairs.describe_key_pairs(svc, caller, names, ids, filters(request))
    with_key = request.get("IncludePublicKey", False)
    return {"KeyPairs": [_shape(each, with_key) for each in found]}


def _shape(described: DescribedKeyPair, with_key: bool) -> dict[str, Any]:
    pair = described.pair
    return {
        "KeyPairId": pair.id,
        "KeyName": pair.name,
        "KeyType": pair.key_type,
        "KeyFingerprint": pair.fingerprint,
        "CreateTime": pair.created_at,
        "Tags": tag_list(described.tags),
        "PublicKey": f"{pair.public_key} {pair.name}" if with_key else None,
    }


OPERATIONS: Final[Mapping[str, Operation]] = {
    "CreateKeyPair": operation(
        create_key_pair, "KeyName", "KeyType", "KeyFormat", "TagSpecifications"
    ),
    "ImportKeyPair": operation(
        import_key_pair, "KeyName", "PublicKeyMaterial", "TagSpecifications"
    ),
    "DescribeKeyPairs": operation(
        describe_key_pairs, "KeyNames", "KeyPairIds", "Filters", "IncludePublicKey"
    ),
    "DeleteKeyPair": operation(delete_key_pair, "KeyName", "KeyPairId"),
}
