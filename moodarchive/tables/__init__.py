"""The tables' schemas and layout, their parts as Parquet files, and SQL over them."""
