"""PostgreSQL: the record. One module per table; SQL stands beside the method that runs it."""
