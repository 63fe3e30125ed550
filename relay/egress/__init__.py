"""Egress: dialling a provider's host and talking SMTP to it, from one of our sources."""
