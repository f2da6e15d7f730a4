"""One request from first byte to last. Newcomers read this file first.

Who asks (the signature), where (the scope's region and service), what (the form or the JSON
against the model), then one handler, then XML or JSON. No HTTP library is in here: a
request is a value and so is its answer. Refusals are told to the caller under the name EC2
gives them; anything else is our bug, logged once with the request id and told as
InternalError.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from openami.catalog import accounts
from openami.dlm.operations import OPERATIONS as DLM
from openami.domain.caller import Caller
from openami.domain.errors import DryRunOperation, EC2Error, InvalidAction
from openami.domain.ids import Region
from openami.ebs.operations import OPERATIONS as EBS
from openami.ec2.operations import OPERATIONS as EC2
from openami.rbin.operations import OPERATIONS as RBIN
from openami.services import Services
from openami.ssm.operations import OPERATIONS as SSM
from openami.sts.operations import OPERATIONS as STS
from openami.wire import form, json_calls, models, query, sigv4, xml
from openami.wire.refusal import WireRefusal
from openami.wire.sigv4 import Claim, SignedRequest

log = logging.getLogger(__name__)

Handler = Callable[[Services, Caller, Any], Mapping[str, Any]]
FrontDoors = Mapping[str, Mapping[str, Handler]]

# By the service that the signature's scope names; every service comes in by the same port.
FRONT_DOORS: Final[FrontDoors] = MappingProxyType(
    {"ec2": EC2, "sts": STS, "ssm": SSM, "dlm": DLM, "rbin": RBIN, "ebs": EBS}
)

_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back: `headers` in the order they are sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


def answer(svc: Services, request: SignedRequest, doors: FrontDoors = FRONT_DOORS) -> Answer:
    """The answer to `request`, whatever it is. Raises nothing."""
    request_id = svc.ids.request_id()
    service = "ec2"  # whose form errors take until the signature says otherwise
    try:
        claim = sigv4.read(request)
        service = claim.service
        caller = _caller(svc, request, claim, request_id)
        return _call(svc, caller, request, claim, doors)
    except EC2Error as refusal:
        code, status, details = refusal.code, refusal.status, refusal.details
        return _refusal(service, code, str(refusal), request_id, status, details)
    except WireRefusal as refusal:
        return _refusal(service, refusal.code, str(refusal), request_id, refusal.status)
    except Exception:
        log.exception("request %s failed", request_id)
        sentence = "An internal error has occurred"
        return _refusal(service, "InternalError", sentence, request_id, 500)


def refuse(svc: Services, status: int, code: str, message: str) -> Answer:
    """The answer to what is no request at all, such as a body that is too long."""
    return _refusal("ec2", code, message, svc.ids.request_id(), status)


def health(svc: Services) -> Answer:
    """200 when the catalog answers, 503 when it does not."""
    headers = {"content-type": "text/plain;charset=UTF-8"}
    try:
        with svc.catalog.read() as tx:
            accounts.find_key(tx, "")
    except Exception:
        log.exception("the catalog does not answer")
        return Answer(status=503, body=b"the catalog does not answer\n", headers=headers)
    return Answer(status=200, body=b"ok\n", headers=headers)


def warm() -> None:
    """Read the models now rather than in the first request."""
    for service in FRONT_DOORS:
        models.operation_names(service)


def _caller(svc: Services, request: SignedRequest, claim: Claim, request_id: str) -> Caller:
    """Who asks, proven. Raises WireRefusal as `sigv4.verify` does, and AuthFailure."""
    key = svc.catalog.recall(accounts.find_key, claim.access_key_id)
    if key is None:
        raise _unknown_key(claim.service)
    skew = timedelta(seconds=svc.settings.clock_skew_s)
    unsigned = claim.service == "ebs" and json_calls.takes_unsigned_body("ebs", request)
    sigv4.verify(request, claim, key.secret, svc.clock.now(), skew, unsigned_body=unsigned)
    if claim.region not in svc.settings.regions:
        raise _auth_failure(
            f"Credential should be scoped to a valid region, not '{claim.region[:40]}'."
        )
    return Caller(
        account=key.account,
        region=Region(claim.region),
        request_id=request_id,
        access_key_id=key.id,
    )


def _call(
    svc: Services, caller: Caller, request: SignedRequest, claim: Claim, doors: FrontDoors
) -> Answer:
    service = claim.service
    if service not in doors:
        raise _auth_failure(
            f"Credential should be scoped to a service that openami answers"
            f" ({', '.join(sorted(doors))}), not '{service[:40]}'."
        )
    if _speaks_json(service):
        return _json_call(svc, caller, request, claim, doors[service])
    parameters = _parameters(request, claim)
    action = parameters.pop("Action", "")
    version = _version(service, parameters.pop("Version", ""))
    handler = _handler(service, action, doors[service])
    asked = query.parse(service, action, parameters)
    _throttle(svc, caller, service, action, asked)
    if asked.pop("DryRun", False):
        _dry_run(svc, caller, handler, asked)
    result = handler(svc, caller, asked)
    body = xml.serialize(service, action, result, caller.request_id, version)
    return _answer(200, body, caller.request_id)


def _json_call(
    svc: Services,
    caller: Caller,
    request: SignedRequest,
    claim: Claim,
    operations: Mapping[str, Handler],
) -> Answer:
    service = claim.service
    request = json_calls.signed_part(request, claim)
    called = json_calls.called(service, request)
    handler = operations.get(called.operation)
    if handler is None:
        raise EC2Error.of(
            "UnknownOperationException",
            f"The operation {called.operation} is not supported by openami.",
        )
    asked = json_calls.parse(service, called, request)
    _throttle(svc, caller, service, called.operation, asked)
    result = handler(svc, caller, asked)
    return _json_answer(json_calls.serialize(service, called.operation, result), caller.request_id)


def _throttle(
    svc: Services, caller: Caller, service: str, operation: str, asked: Mapping[str, Any]
) -> None:
    if svc.settings.throttling == "ec2":
        svc.throttle.admit(caller, service, operation, asked, svc.clock.now().timestamp())


def _speaks_json(service: str) -> bool:
    return service in FRONT_DOORS and models.metadata(service)["protocol"] in json_calls.PROTOCOLS


def _dry_run(svc: Services, caller: Caller, handler: Handler, asked: dict[str, Any]) -> None:
    """Always raises: the refusal that the real call would meet, or else DryRunOperation.

    The handler does all that it does, with a catalog that undoes its first writing
    transaction and raises DryRunOperation in place of the commit. Whatever has an effect
    outside the catalog comes after a commit, so it is not reached.
    """
    handler(replace(svc, catalog=svc.catalog.dry_run()), caller, asked)
    raise DryRunOperation


def _parameters(request: SignedRequest, claim: Claim) -> form.Form:
    if request.method not in ("GET", "POST"):
        raise WireRefusal("InvalidRequest", f"Use GET or POST, not {request.method[:20]}.", 405)
    if request.path not in ("", "/"):
        raise WireRefusal("InvalidRequest", "The API is at the path / and nowhere else.", 404)
    parameters = form.decode(request.query, request.body)
    if claim.presigned:
        for name in sigv4.PRESIGNED_PARAMETERS:
            del parameters[name]
    return parameters


def _handler(service: str, action: str, operations: Mapping[str, Handler]) -> Handler:
    if not action:
        raise EC2Error.of("MissingAction", "The request is missing an action.")
    if action in operations:
        return operations[action]
    if action in models.operation_names(service):
        raise EC2Error.of("InvalidAction", f"The action {action} is not supported by openami.")
    raise InvalidAction(action[:100])


def _version(service: str, asked: str) -> str:
    """The API version that the client speaks; those before the newest are parts of it."""
    if asked and (
        _VERSION.fullmatch(asked) is None or asked > models.metadata(service)["apiVersion"]
    ):
        raise EC2Error.of(
            "NoSuchVersion", f"The requested version ({asked[:20]}) of {service} does not exist"
        )
    return asked


def _unknown_key(service: str) -> WireRefusal:
    if service == "sts":
        sentence = "The security token included in the request is invalid."
        return WireRefusal("InvalidClientTokenId", sentence, 403)
    return _auth_failure("AWS was not able to validate the provided access credentials")


def _auth_failure(message: str) -> WireRefusal:
    return WireRefusal("AuthFailure", message, 401)


def _refusal(
    service: str,
    code: str,
    message: str,
    request_id: str,
    status: int,
    details: Mapping[str, Any] = MappingProxyType({}),
) -> Answer:
    """A refusal in the words of its service's protocol."""
    if _speaks_json(service):
        told = json_calls.serialize_error(service, code, message, status, details)
        return _json_answer(told, request_id)
    body = xml.serialize_error(service, code, message, request_id, status)
    return _answer(status, body, request_id)


def _json_answer(reply: json_calls.Reply, request_id: str) -> Answer:
    headers = {**reply.headers, "x-amzn-requestid": request_id}
    return Answer(status=reply.status, body=reply.body, headers=headers)


def _answer(status: int, body: bytes, request_id: str) -> Answer:
    headers = {"content-type": "text/xml;charset=UTF-8", "x-amzn-requestid": request_id}
    return Answer(status=status, body=body, headers=headers)
