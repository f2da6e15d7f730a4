"""An S3 client that is as its caller says, whatever AWS_* variables the process was started with.

obstore reads those on its own: an AWS_ENDPOINT_URL that is meant for clients of ours would send our
own requests to ourselves, an AWS_SESSION_TOKEN would spoil every signature.
"""

from dataclasses import dataclass
from datetime import timedelta

from obstore.store import S3Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one try of a request may take, and how often and how long it is tried again.

    obstore tries again after an answer of 5xx or 429, a broken connection and a time-out, except
    where a request must not be sent twice. The pauses double, and chance shortens them.
    """

    request_s: float
    retries: int
    retry_for_s: float
    connect_s: float = 5.0
    first_pause_s: float = 0.1
    longest_pause_s: float = 15.0


def s3_client(
    bucket: str,
    *,
    url: str,
    region: str,
    access_key_id: str,
    secret_access_key: str,
    patience: Patience,
) -> S3Store:
    """Path style, over http or https as the URL says. Nothing is connected yet."""
    return S3Store(
        bucket,
        endpoint=url,
        aws_endpoint_url_s3=url,
        region=region,
        virtual_hosted_style_request=False,
        skip_signature=False,
        unsigned_payload=False,
        request_payer=False,
        credential_provider=lambda: {
            "access_key_id": access_key_id,
            "secret_access_key": secret_access_key,
            "token": None,
            "expires_at": None,
        },
        client_options={
            "timeout": timedelta(seconds=patience.request_s),
            "connect_timeout": timedelta(seconds=patience.connect_s),
            "allow_http": url.startswith("http://"),
        },
        retry_config={
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=patience.retry_for_s),
            "backoff": {
                "init_backoff": timedelta(seconds=patience.first_pause_s),
                "max_backoff": timedelta(seconds=patience.longest_pause_s),
                "base": 2,
            },
        },
    )
