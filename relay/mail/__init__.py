"""Mail as values: addresses, envelopes, header fields and content. Pure: bytes in, values out."""
