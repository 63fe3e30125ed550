"""Telling programs elsewhere: webhooks, their signatures, and the guarded client that posts to them."""
