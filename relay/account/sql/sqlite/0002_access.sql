-- What a credential opens: '' = all that its tenant may do, 'front' = what a front on another machine asks, nothing else.
ALTER TABLE credential ADD COLUMN access TEXT NOT NULL DEFAULT '';
