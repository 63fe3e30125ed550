"""Who mail that came in really is from: SPF, DKIM and DMARC as a receiver evaluates them, by our own resolver."""
