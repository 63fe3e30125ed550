"""The Leak front: a person writes a letter, sees the mail it makes, sends it and follows it by a secret link.

A customer of the relay: it speaks to it through `relay.client` only, and keeps its own tables.
"""
