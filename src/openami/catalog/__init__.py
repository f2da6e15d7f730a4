"""SQL: the schema and the queries of each noun; rows in, frozen values out."""
