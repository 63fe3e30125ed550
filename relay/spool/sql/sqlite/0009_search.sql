-- Looking for messages: by sender, by tag, by what failed. By recipient and by time there are indexes already; an id
-- begins with the time of its message.
CREATE INDEX message_sender ON message (tenant, lower(reverse_path)) WHERE reverse_path IS NOT NULL;
CREATE INDEX delivery_failed ON delivery (message) WHERE state IN (11, 12, 13, 14, 15);

CREATE TABLE message_tag (
  tenant INTEGER NOT NULL,
  tag TEXT NOT NULL,
  message INTEGER NOT NULL,
  PRIMARY KEY (tenant, tag, message)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO message_tag (tenant, tag, message)
  SELECT m.tenant, t.value, m.seq FROM message m, json_each(m.labels, '$.tags') t WHERE m.labels IS NOT NULL;
