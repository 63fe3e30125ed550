"""The spool: the durable record of every accepted message and of each duty toward a recipient.

A message is accepted when `Spool.accept` returns: committed with an fsync. `docs/spool.md` is the table of
states, of what each crash leaves behind and of who acts next.
"""
