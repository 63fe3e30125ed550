-- Addresses are looked up by lower(address), in the words that every database knows.
DROP INDEX recipient_address;
CREATE INDEX recipient_address ON recipient (lower(address));
