-- +goose Up

-- What consoles remember that is not a record. Times are milliseconds since 1970. No
-- secret is here: cookies and codes are looked up by their hashes.

CREATE TABLE state_session (
    hash         bytea PRIMARY KEY, -- of the cookie
    id           text COLLATE "C" NOT NULL UNIQUE,
    "user"       text COLLATE "C" NOT NULL,
    login_method text   NOT NULL,
    roles        text   NOT NULL, -- JSON
    address      text   NOT NULL,
    login        bigint NOT NULL,
    seen         bigint NOT NULL,
    expires      bigint NOT NULL
);
CREATE INDEX state_session_user    ON state_session ("user", seen);
CREATE INDEX state_session_expires ON state_session (expires);

CREATE TABLE state_code (
    hash    bytea PRIMARY KEY,
    purpose text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    version text   NOT NULL, -- of the subject's record
    expires bigint NOT NULL,
    UNIQUE (purpose, subject)
);
CREATE INDEX state_code_expires ON state_code (expires);

CREATE TABLE state_idempotency (
    hash    bytea PRIMARY KEY, -- of the caller and its key
    caller  text COLLATE "C" NOT NULL,
    digest  bytea   NOT NULL, -- of the request
    record  text    NOT NULL, -- the id that the request's record gets
    started bigint  NOT NULL, -- when the attempt began, by the database's clock, or 0: it was released
    attempt bigint  NOT NULL,
    answer  bytea,            -- NULL until the attempt is finished
    size    integer NOT NULL, -- of the answer
    expires bigint  NOT NULL
);
CREATE INDEX state_idempotency_caller     ON state_idempotency (caller, size);
CREATE INDEX state_idempotency_unfinished ON state_idempotency (started) WHERE answer IS NULL;
CREATE INDEX state_idempotency_expires    ON state_idempotency (expires);

-- The entries of the audit log whose change was made here. One is needed until its entry
-- is closed.
CREATE TABLE state_entry (
    seq bigint PRIMARY KEY
);
