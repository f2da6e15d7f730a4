"""What the metadata service answers to one request: a decision over values. Pure but for time.

Who asks is not in the request: the connection came over the instance's own tap.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
"""

from typing import Final

from openami.domain.metadata import HttpTokens, Metadata, Switch
from openami.imds.http import Request, Response, refusal
from openami.imds.tokens import TTL_S_MAX, Tokens
from openami.imds.tree import look_up

TOKEN_PATH: Final = "/latest/api/token"  # noqa: S105 - a path
_TOKEN: Final = "x-aws-ec2-metadata-token"  # noqa: S105 - a header's name
_TTL: Final = "x-aws-ec2-metadata-token-ttl-seconds"


def answer(request: Request, metadata: Metadata | None, tokens: Tokens) -> Response:
    if metadata is None:
        return refusal(404)
    if metadata.options.http_endpoint is Switch.DISABLED:
        return refusal(403)
    match request.method:
        case "PUT":
            return _issue(request, metadata, tokens)
        case "GET" | "HEAD":
            return _tell(request, metadata, tokens)
        case _:
            return refusal(405)


def _issue(request: Request, metadata: Metadata, tokens: Tokens) -> Response:
    if request.path != TOKEN_PATH:
        return refusal(404 if request.path.startswith("/latest/api") else 405)
    if "x-forwarded-for" in request.headers:
        return refusal(403)  # somebody's open proxy asks, not the instance
    told = request.headers.get(_TTL, "")
    if not (told.isascii() and told.isdigit() and len(told) <= 5 and 1 <= int(told) <= TTL_S_MAX):
        return refusal(400)
    token = tokens.issue(metadata.instance_id, int(told))
    return Response(
        status=200,
        body=token.encode(),
        headers=(("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", str(int(told))),),
    )


def _tell(request: Request, metadata: Metadata, tokens: Tokens) -> Response:
    token = request.headers.get(_TOKEN)
    required = metadata.options.http_tokens is HttpTokens.REQUIRED
    if required if token is None else not tokens.holds(metadata.instance_id, token):
        return refusal(401)
    if request.path == TOKEN_PATH:
        return refusal(405)
    found = look_up(metadata, request.path)
    if found is None:
        return refusal(404)
    return Response(status=200, body=found.body, content_type=found.content_type)
