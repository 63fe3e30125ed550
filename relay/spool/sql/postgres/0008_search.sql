-- Looking for messages; see ../sqlite/0009_search.sql.

CREATE INDEX message_sender ON message (tenant, lower(reverse_path), seq) WHERE reverse_path IS NOT NULL;
CREATE INDEX delivery_failed ON delivery (message) WHERE state IN (11, 12, 13, 14, 15);

CREATE TABLE message_tag (
  tenant BIGINT NOT NULL,
  tag TEXT NOT NULL,
  message BIGINT NOT NULL,
  PRIMARY KEY (tenant, tag, message)
);
INSERT INTO message_tag (tenant, tag, message)
  SELECT m.tenant, t.value, m.seq
  FROM message m CROSS JOIN LATERAL json_array_elements_text(m.labels::json -> 'tags') AS t(value)
  WHERE m.labels IS NOT NULL
ON CONFLICT DO NOTHING;
