-- What waits to leave, by kind of network; see ../sqlite/0030_waiting.sql.
CREATE INDEX web_handover_waiting ON web_handover (network, due, letter_id) WHERE held_until IS NULL;
