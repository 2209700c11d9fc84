-- +goose Up

-- What each replica has recorded of the use of each key: lines of a usage file, one of
-- each form, '' for one that is not there. A row with the replica '' has what those of
-- its login had that were not written for a day. Rows of deleted keys stay. Roles see
-- the rows that the policies of roles.sql name; without them, none.
CREATE TABLE usage (
    key_id  text COLLATE "C" NOT NULL,
    login   text COLLATE "C" NOT NULL DEFAULT current_user,
    replica text COLLATE "C" NOT NULL,
    totals  text        NOT NULL CHECK (octet_length(totals) <= 65536),
    days    text        NOT NULL CHECK (octet_length(days) <= 65536),
    last    bigint      NOT NULL, -- use, in microseconds since 1970
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key_id, login, replica)
);
CREATE INDEX usage_at ON usage (at) WHERE replica <> '';
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;

-- The last batch that each replica has written, by which one is counted once. The row of
-- '' and '' is the lock of what folds rows.
CREATE TABLE usage_batch (
    login   text COLLATE "C" NOT NULL DEFAULT current_user,
    replica text COLLATE "C" NOT NULL,
    batch   text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (login, replica)
);
ALTER TABLE usage_batch ENABLE ROW LEVEL SECURITY;
