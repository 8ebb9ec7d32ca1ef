-- The history of each job, one line per event, for people.
CREATE TABLE notes (
    id          BIGINT NOT NULL PRIMARY KEY,
    coordinator TEXT   NOT NULL,
    job_id      BIGINT NOT NULL,
    noted_at    BIGINT NOT NULL,
    body        TEXT   NOT NULL
);
CREATE INDEX notes_by_job ON notes (coordinator, job_id, id);
