"""The stores' side of the catalog: who relies on which bytes, and what is collected."""
