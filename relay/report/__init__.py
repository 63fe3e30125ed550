"""Reports as values: the DSNs we write (RFC 3464), and everything that comes back, read. Pure: values and bytes."""
