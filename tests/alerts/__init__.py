"""deploy/alerts.yaml as Prometheus itself reads it; no part of the gate."""
