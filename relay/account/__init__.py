"""Accounts: tenants, the credentials that prove them, and the senders each may use."""
