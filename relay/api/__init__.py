"""The HTTP door: JSON in, submissions out; the life of a message, the queue, probes and metrics. See docs/api.md."""
