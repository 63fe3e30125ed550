"""Reports as values: the DSNs we write (RFC 3464). Pure: values in, bytes out."""
