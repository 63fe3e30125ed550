"""Moderation: a letter's text in, a ruling out.

It stands between what somebody wrote and the letter that is kept: compose and preview ask it, and so does
`leak moderate`. Pure, but for reading rules and weights once; bounded in time for any text.
"""
