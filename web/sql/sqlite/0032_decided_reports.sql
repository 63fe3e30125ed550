-- Whose report it was is known while it waits, so that no letter reaches them, and no longer (web/reports.py).
UPDATE web_report SET mailbox = X'' WHERE outcome IS NOT NULL;
