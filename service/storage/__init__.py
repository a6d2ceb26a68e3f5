"""PostgreSQL: the record. One class or module per table; SQL stands beside the method that runs it."""
