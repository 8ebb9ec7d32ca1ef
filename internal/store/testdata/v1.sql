-- A ledger as schema 1 left it. Frozen: it is what an upgrade meets.
CREATE TABLE schema_version (version BIGINT NOT NULL, release_name TEXT NOT NULL);
INSERT INTO schema_version VALUES (1, '0.9.0');
CREATE TABLE jobs (coordinator TEXT NOT NULL, id BIGINT NOT NULL, owner TEXT NOT NULL, runner TEXT NOT NULL, state TEXT NOT NULL,
    token TEXT NOT NULL, payload BLOB, nonce TEXT NOT NULL, name TEXT NOT NULL, project TEXT NOT NULL, web_url TEXT NOT NULL,
    tenant TEXT NOT NULL, flavor TEXT NOT NULL, weight BIGINT NOT NULL, timeout BIGINT NOT NULL, seq BIGINT NOT NULL,
    prefix TEXT NOT NULL, prefix_acked BIGINT NOT NULL, prefix_frozen BIGINT NOT NULL, failure_reason TEXT NOT NULL,
    failure_text TEXT NOT NULL, failure_mark BIGINT NOT NULL, cancel_at BIGINT NOT NULL, result TEXT NOT NULL,
    acquired_at BIGINT NOT NULL, launching_at BIGINT NOT NULL, starting_at BIGINT NOT NULL, running_at BIGINT NOT NULL,
    finished_at BIGINT NOT NULL, closed_at BIGINT NOT NULL, PRIMARY KEY (coordinator, id));
CREATE INDEX jobs_by_state ON jobs (state, seq);
CREATE INDEX jobs_by_seq ON jobs (seq);
INSERT INTO jobs VALUES ('https://gitlab.example', 7, 'abcdefghij', 'paris', 'running', 'job-token', NULL, 'nonce', 'test',
    'group/project', 'https://gitlab.example/j/7', 'orga_1', 'M', 13454, 3600000000, 3, 'line', 4, 1, '', '', 0, 0, '',
    1700000000000123, 1700000001000123, 1700000002000123, 1700000003000123, 0, 0);
CREATE TABLE instances (instance_key TEXT NOT NULL PRIMARY KEY, job_coordinator TEXT NOT NULL, job_id BIGINT NOT NULL,
    owner TEXT NOT NULL, runner TEXT NOT NULL, tenant TEXT NOT NULL, provisioner TEXT NOT NULL, zone TEXT NOT NULL,
    flavor TEXT NOT NULL, weight BIGINT NOT NULL, state TEXT NOT NULL, handle BLOB, started BIGINT NOT NULL,
    creates BIGINT NOT NULL, destroys BIGINT NOT NULL, last_error TEXT NOT NULL, intended_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL, started_at BIGINT NOT NULL, deleting_at BIGINT NOT NULL, gone_at BIGINT NOT NULL);
CREATE INDEX instances_by_state ON instances (state);
CREATE INDEX instances_by_age ON instances (intended_at);
INSERT INTO instances VALUES ('hpd-job-abcdefghij-7', 'https://gitlab.example', 7, 'abcdefghij', 'paris', 'orga_1', 'clever', 'par',
    'M', 13454, 'started', X'7B7D', 1, 1, 0, '', 1700000001000123, 1700000001500123, 1700000002000123, 0, 0);
CREATE TABLE runners (owner TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, coordinator TEXT NOT NULL);
INSERT INTO runners VALUES ('abcdefghij', 'paris', 'https://gitlab.example');
CREATE TABLE meta (meta_key TEXT NOT NULL PRIMARY KEY, meta_value TEXT NOT NULL);
INSERT INTO meta VALUES ('system_id', 'r_old');
