-- Who used something, as a hash under a key in memory: to tell many senders from one.
ALTER TABLE web_use ADD COLUMN who BYTEA;
