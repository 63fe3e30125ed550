"""DNS: questions with a TTL cache of our own, coalesced while in flight, failures as typed values."""
