-- What a post's writer takes it down by; see ../sqlite/0028_post_owner.sql.
ALTER TABLE web_post ADD COLUMN secret_hash BYTEA;
UPDATE web_post SET secret_hash = (SELECT l.secret_hash FROM web_letter l WHERE l.id = web_post.letter_id)
WHERE state = 'published';
CREATE UNIQUE INDEX web_post_by_secret ON web_post (secret_hash) WHERE secret_hash IS NOT NULL;
