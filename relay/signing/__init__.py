"""DKIM: keys on disk, canonicalisation in linear time, signatures by OpenSSL in threads."""
