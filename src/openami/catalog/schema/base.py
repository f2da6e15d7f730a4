"""What all tables share: the metadata they belong to and the columns most of them have."""

from sqlalchemy import Column, MetaData, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str = "id", *, key: bool = False, index: bool = False) -> Column[str]:
    """A resource's id. As `key` it is of the primary key."""
    return Column(name, String(32), primary_key=key, nullable=False, index=index)


def place() -> tuple[Column[str], Column[str]]:
    """Which region a resource is in and which account owns it."""
    return Column("region", String(32), nullable=False), Column("owner", String(12), nullable=False)
