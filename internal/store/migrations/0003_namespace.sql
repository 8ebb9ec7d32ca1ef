-- The top-level group whose attributes name the tenant; empty with a single organisation.
ALTER TABLE jobs ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN namespace TEXT NOT NULL DEFAULT '';
