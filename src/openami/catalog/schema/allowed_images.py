"""Which images of others an account allows in a region."""

from sqlalchemy import Column, String, Table

from openami.catalog.schema.base import metadata
from openami.catalog.types import EnumText, image_criteria
from openami.domain.allowed_images import AllowedImagesState

allowed_images_settings = Table(
    "allowed_images_settings",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("state", EnumText(AllowedImagesState), nullable=False),
    Column("criteria", image_criteria(), nullable=False),
)
