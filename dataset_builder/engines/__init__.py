"""The differences between DuckDB, PostgreSQL and Spark, one file each; `dataset_builder.cohort.session` picks one."""
