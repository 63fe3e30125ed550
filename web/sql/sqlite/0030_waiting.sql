-- What waits to leave is counted by kind of network for whoever comes next (web/crowds.py): out of this index alone, since
-- the rows hold whole letters.
CREATE INDEX web_handover_waiting ON web_handover (network, due, letter_id) WHERE held_until IS NULL;
