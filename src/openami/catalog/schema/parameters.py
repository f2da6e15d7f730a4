"""SSM parameters, every version of them, and the labels that versions carry."""

from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from openami.catalog.schema.base import id_column, metadata, place
from openami.catalog.types import EnumText, UtcDateTime
from openami.domain.parameter import ParameterType

parameters = Table(
    "parameter",
    metadata,
    id_column(key=True),
    *place(),
    Column("name", String(2048), nullable=False),
    Column("type", EnumText(ParameterType), nullable=False),
    # The newest version, which is the parameter's value.
    Column("version", BigInteger, nullable=False),
)
Index("uq_parameter_name", parameters.c.owner, parameters.c.region, parameters.c.name, unique=True)

parameter_versions = Table(
    "parameter_version",
    metadata,
    id_column("parameter_id", key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text, nullable=False),
    Column("data_type", String(128), nullable=False),
    Column("description", Text),
    Column("allowed_pattern", Text),
    Column("modified_at", UtcDateTime, nullable=False),
    # The value again where it names an image: what the catalogue and references search for.
    Column("image_id", String(32), index=True),
)

parameter_labels = Table(
    "parameter_label",
    metadata,
    id_column("parameter_id", key=True),
    Column("label", String(100), primary_key=True),
    Column("version", BigInteger, nullable=False),
)
