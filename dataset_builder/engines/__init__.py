"""What DuckDB, PostgreSQL and Spark do differently, one file each; `dataset_builder.cohort.session` chooses among them."""
