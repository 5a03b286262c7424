"""What DuckDB, PostgreSQL and Spark do differently, one file each; `dataset_builder.engine` chooses among them."""
