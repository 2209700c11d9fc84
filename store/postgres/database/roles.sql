-- The roles of a database of Keyward. An administrator runs this once, connected to the
-- database, as the owner of its tables and after `keyward store migrate`, and again after
-- each migration. Each Keyward logs in as a role of its own that is a member of one of
-- them: GRANT keyward_replica TO sidecar_1.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_writer') THEN
        CREATE ROLE keyward_writer NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'keyward_replica') THEN
        CREATE ROLE keyward_replica NOLOGIN;
    END IF;
END
$$;

-- Consoles, issuers and commands. None of them rewrites the journal or removes a record.
GRANT SELECT ON meta, journal, key_record, key_secret, user_record, project, client, revocation, audit, snapshot, replica TO keyward_writer;
GRANT UPDATE (last_seq) ON meta TO keyward_writer;
GRANT INSERT ON journal, key_secret, revocation TO keyward_writer;
GRANT INSERT, UPDATE ON key_record, user_record, project, client TO keyward_writer;
GRANT INSERT ON audit TO keyward_writer;
GRANT UPDATE (outcome, line, open_since) ON audit TO keyward_writer;

-- Keywards that check requests: they copy the records, and read nothing else.
GRANT SELECT ON meta, journal, snapshot TO keyward_replica;
GRANT SELECT, INSERT, UPDATE ON replica TO keyward_replica;

-- Sessions, one-time codes and idempotency keys, which consoles keep.
GRANT SELECT, INSERT, UPDATE, DELETE ON state_session, state_code, state_idempotency, state_entry TO keyward_writer;

-- What replicas had seen and a restored database lacks. The policy of the table lets a
-- login see and write its own rows alone; writers see all, for `keyward store status`.
GRANT SELECT, INSERT, DELETE ON replica_lost TO keyward_replica;
GRANT SELECT ON replica_lost TO keyward_writer;
DROP POLICY IF EXISTS replica_lost_read ON replica_lost;
CREATE POLICY replica_lost_read ON replica_lost FOR SELECT TO keyward_writer USING (true);
