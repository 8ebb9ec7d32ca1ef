-- The coordinator's id of that group, which a renamed group keeps; 0 = not told.
ALTER TABLE jobs ADD COLUMN namespace_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instances ADD COLUMN namespace_id BIGINT NOT NULL DEFAULT 0;
