"""SMTP as values: replies, enhanced codes, ESMTP parameters, dot-stuffing. Pure: bytes in, values out."""
