"""Celery workers and beat: they stand on the service and only decide when it works."""
