-- When a letter was to leave, as its writer was told or a person decided. `due` moves when it waits longer than that.
ALTER TABLE web_handover ADD COLUMN promised INTEGER;   -- milliseconds since 1970; NULL: kept by an older program
