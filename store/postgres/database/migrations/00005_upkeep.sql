-- +goose Up

-- From when a revocation is left out; NULL: it stays.
ALTER TABLE revocation ADD COLUMN ends timestamptz;
CREATE INDEX revocation_ends ON revocation (ends) WHERE ends IS NOT NULL;
CREATE INDEX replica_at      ON replica (at);

-- What follows removes what need not be kept, with the rights of the owner of the tables:
-- writers may call it, and may not remove rows otherwise. Each call removes a bounded
-- number of rows and returns how many. None removes what is younger than a day, so that
-- a console which is taken over cannot erase what was done in it.

-- +goose StatementBegin
-- The time is compared, and not the interval: a month is longer or shorter than the
-- thirty days for which two intervals are compared.
CREATE FUNCTION keyward_oldest_kept(keep interval) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    oldest timestamptz := now() - keep;
BEGIN
    IF oldest IS NULL OR oldest > now() - interval '24 hours' THEN
        RAISE EXCEPTION 'nothing is removed before it is a day old' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN oldest;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- A line is cut when the one after it is older than keep: a replica that is at a line
-- compares it before it reads on, and the last one is never cut. Lines are cut in the
-- order of their numbers, whatever the clock was: no replica finds a hole. The lock is
-- that of all writers, database.WritersLock.
CREATE FUNCTION keyward_cut_journal(keep interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    oldest timestamptz := keyward_oldest_kept(keep);
    cut    bigint;
    cuts   bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(30229394876363364);
    WITH lines AS (
        SELECT seq, lead(at) OVER (ORDER BY seq) AS next_at
        FROM (SELECT seq, at FROM journal ORDER BY seq LIMIT 10001) AS first
    )
    SELECT max(seq) INTO cut FROM lines
    WHERE seq < (SELECT min(seq) FROM lines WHERE next_at IS NULL OR next_at >= oldest);
    IF cut IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM journal WHERE seq <= cut;
    GET DIAGNOSTICS cuts = ROW_COUNT;
    UPDATE meta SET cut_seq = greatest(cut_seq, cut);
    RETURN cuts;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- An entry that is open stays: it is not known yet whether its change was made.
CREATE FUNCTION keyward_cut_audit(keep interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    oldest timestamptz := keyward_oldest_kept(keep);
    cuts   bigint;
BEGIN
    DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE time < oldest AND open_since IS NULL ORDER BY time LIMIT 10000);
    GET DIAGNOSTICS cuts = ROW_COUNT;
    RETURN cuts;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Revocations that have been over for a day. No line of the journal says so: a replica
-- leaves them out by itself, and has a snapshot without them when it begins again. A seq
-- does not name one revocation: those that were copied from files may lack it.
CREATE FUNCTION keyward_cut_revocations() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    cuts bigint;
BEGIN
    DELETE FROM revocation WHERE number IN (SELECT number FROM revocation WHERE ends < now() - interval '24 hours' ORDER BY ends LIMIT 10000);
    GET DIAGNOSTICS cuts = ROW_COUNT;
    RETURN cuts;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Replicas that have reported nothing for that long, with what they had seen.
CREATE FUNCTION keyward_cut_replicas(keep interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    oldest timestamptz := keyward_oldest_kept(keep);
    cuts   bigint;
BEGIN
    DELETE FROM replica WHERE (login, name) IN (SELECT login, name FROM replica WHERE at < oldest ORDER BY at LIMIT 100);
    GET DIAGNOSTICS cuts = ROW_COUNT;
    RETURN cuts;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The names in a function are those of this schema, whatever the caller's search_path and
-- temporary tables are.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['keyward_oldest_kept(interval)', 'keyward_cut_journal(interval)', 'keyward_cut_audit(interval)', 'keyward_cut_revocations()', 'keyward_cut_replicas(interval)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = pg_catalog, %I, pg_temp', name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', name);
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- An entry of the audit log is changed once: when it becomes known whether its change was
-- made.
CREATE FUNCTION keyward_refuse_closed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an entry of the audit log that is closed is not changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_closed BEFORE UPDATE ON audit FOR EACH ROW WHEN (OLD.open_since IS NULL) EXECUTE FUNCTION keyward_refuse_closed();
