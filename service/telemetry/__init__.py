"""What we tell about ourselves: log lines and metrics, each in one file."""
