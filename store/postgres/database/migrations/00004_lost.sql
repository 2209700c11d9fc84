-- +goose Up

-- lost is how many records the replica had seen that the database lacks since it was
-- restored, and lost_digest that of their list.
ALTER TABLE replica
    ADD COLUMN lost        bigint NOT NULL DEFAULT 0,
    ADD COLUMN lost_digest text   NOT NULL DEFAULT '';

-- The list itself, of at most 1,000 records per replica.
CREATE TABLE replica_lost (
    login   text COLLATE "C" NOT NULL DEFAULT current_user,
    replica text COLLATE "C" NOT NULL,
    kind    text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL, -- of the line that the replica had
    what    text   NOT NULL, -- missing, older or ended
    PRIMARY KEY (login, replica, kind, id),
    FOREIGN KEY (login, replica) REFERENCES replica (login, name) ON DELETE CASCADE
);

-- A login sees and writes its own rows. roles.sql lets writers see all.
ALTER TABLE replica_lost ENABLE ROW LEVEL SECURITY;
CREATE POLICY replica_lost_own ON replica_lost USING (login = current_user) WITH CHECK (login = current_user);
