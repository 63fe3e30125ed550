-- What a post's writer takes it down by once its letter is forgotten: the hash of the letter's secret link, kept with the
-- post while it is on the wall and no longer.
ALTER TABLE web_post ADD COLUMN secret_hash BLOB;
UPDATE web_post SET secret_hash = (SELECT l.secret_hash FROM web_letter l WHERE l.id = web_post.letter_id)
WHERE state = 'published';
CREATE UNIQUE INDEX web_post_by_secret ON web_post (secret_hash) WHERE secret_hash IS NOT NULL;
