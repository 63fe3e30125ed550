-- Which reports came back about a delivery: they go when its recipient is erased.
CREATE INDEX inbound_of_delivery ON inbound (message, n) WHERE message IS NOT NULL;
