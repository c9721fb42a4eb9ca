-- Grants: what tells whether anything has changed that decides a right or an answer, since an answer was given.
--
-- The package runs this file on Superset's metadata database. Each statement that writes a watched table appends its
-- transaction's id to superset_ext_grants.change: a row of its own, for which no other writer waits. A grant keeps the
-- snapshot that was taken before Superset read anything for it. It holds while no row's transaction is invisible in
-- that snapshot. Where Superset's role may not create triggers, an administrator does:
--   psql --single-transaction --set ON_ERROR_STOP=1 --file sql/grants/01_changes.sql "$METADATA"
--   SELECT superset_ext_grants.watch(ARRAY['ab_user', 'ab_user_role', …], 'public');
-- uninstall.sql removes everything again.

DO $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('superset_ext_grants', 0)); END $$;

CREATE SCHEMA IF NOT EXISTS superset_ext_grants;
COMMENT ON SCHEMA superset_ext_grants IS 'superset_ext: what rights and answers depend on, version 1';
GRANT USAGE ON SCHEMA superset_ext_grants TO PUBLIC;

CREATE TABLE IF NOT EXISTS superset_ext_grants.change (
    xid xid8 NOT NULL
);
CREATE INDEX IF NOT EXISTS change_xid ON superset_ext_grants.change (xid);
COMMENT ON TABLE superset_ext_grants.change IS 'A row for each statement that wrote a watched table.';
COMMENT ON COLUMN superset_ext_grants.change.xid IS 'The transaction of the statement; a row can be seen once that has been committed.';

CREATE TABLE IF NOT EXISTS superset_ext_grants.horizon (
    at timestamptz PRIMARY KEY DEFAULT clock_timestamp(),
    oldest xid8 NOT NULL DEFAULT pg_snapshot_xmin(pg_current_snapshot())
);
COMMENT ON TABLE superset_ext_grants.horizon IS 'When which transactions had ended; what is older than every grant is deleted by it.';
COMMENT ON COLUMN superset_ext_grants.horizon.at IS 'When.';
COMMENT ON COLUMN superset_ext_grants.horizon.oldest IS 'Every transaction before this one had ended by then.';

-- The function of most triggers. It runs as its owner, since whoever writes a table need not know of ours.
CREATE OR REPLACE FUNCTION superset_ext_grants.changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.changed() IS 'Notes that a watched table was written.';

-- The function of updates of ab_user. A log-in writes there too; what it writes decides nothing.
CREATE OR REPLACE FUNCTION superset_ext_grants.user_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    idle text[] := ARRAY['last_login', 'login_count', 'fail_login_count', 'changed_on', 'changed_by_fk'];
BEGIN
    IF EXISTS (SELECT to_jsonb(b) - idle FROM before b EXCEPT ALL SELECT to_jsonb(a) - idle FROM after a) THEN
        INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.user_changed() IS 'Notes that a user was changed, other than by a log-in.';

-- Sees to it that tables have their triggers, and returns how many triggers those are. A table that is not there is
-- left out. What is made now was not there before, so whatever was granted until now ends.
CREATE OR REPLACE FUNCTION superset_ext_grants.watch(tables text[], in_schema text) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
    had integer;
    wanted integer := 0;
    made boolean := false;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext_grants', 0));
    FOR t IN
        SELECT c.oid::regclass AS name, c.oid, c.relname = 'ab_user' AS is_user
        FROM pg_class c
        WHERE c.relnamespace = to_regnamespace(quote_ident(in_schema)) AND c.relname = ANY (tables)
          AND c.relkind IN ('r', 'p')
        ORDER BY c.relname
    LOOP
        wanted := wanted + 1 + t.is_user::integer;
        SELECT count(*) INTO had FROM pg_trigger WHERE tgrelid = t.oid AND tgname LIKE 'superset\_ext\_grants%' AND tgenabled = 'A';
        CONTINUE WHEN had = 1 + t.is_user::integer;
        made := true;
        EXECUTE format('DROP TRIGGER IF EXISTS superset_ext_grants ON %s', t.name);
        EXECUTE format('DROP TRIGGER IF EXISTS superset_ext_grants_update ON %s', t.name);
        IF t.is_user THEN
            EXECUTE format('CREATE TRIGGER superset_ext_grants AFTER INSERT OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.changed()', t.name);
            EXECUTE format('CREATE TRIGGER superset_ext_grants_update AFTER UPDATE ON %s '
                'REFERENCING OLD TABLE AS before NEW TABLE AS after '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.user_changed()', t.name);
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER superset_ext_grants_update', t.name);
        ELSE
            EXECUTE format('CREATE TRIGGER superset_ext_grants AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON %s '
                'FOR EACH STATEMENT EXECUTE FUNCTION superset_ext_grants.changed()', t.name);
        END IF;
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER superset_ext_grants', t.name);
    END LOOP;
    IF made THEN
        INSERT INTO superset_ext_grants.change (xid) VALUES (pg_current_xact_id());
    END IF;
    RETURN wanted;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.watch(text[], text) IS 'Makes the triggers of tables that lack them, and returns how many these tables have now.';

-- The run of this server and its triggers, as text: what was granted under another text does not hold. A trigger that
-- was switched off and on again has another xmin, and a server that was promoted another start.
CREATE OR REPLACE FUNCTION superset_ext_grants.anchor() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    triggers record;
BEGIN
    SELECT count(*) AS number, coalesce(sum(hashtextextended(oid::text || ' ' || xmin::text, 0)), 0) AS digest INTO triggers
    FROM pg_trigger
    WHERE tgfoid IN ('superset_ext_grants.changed'::regproc, 'superset_ext_grants.user_changed'::regproc)
      AND tgenabled = 'A';
    RETURN concat_ws(' ', triggers.number, triggers.digest, extract(epoch FROM pg_postmaster_start_time()),
        (SELECT oid FROM pg_database WHERE datname = current_database()), pg_is_in_recovery());
END
$$;
COMMENT ON FUNCTION superset_ext_grants.anchor() IS 'The number of triggers first, then what names this run of the server and them.';

-- Whether what was granted under a snapshot and an anchor still holds.
CREATE OR REPLACE FUNCTION superset_ext_grants.holds(since pg_snapshot, under text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN under = superset_ext_grants.anchor() AND NOT EXISTS (
        SELECT FROM superset_ext_grants.change
        WHERE xid >= pg_snapshot_xmin(since) AND NOT pg_visible_in_snapshot(xid, since)
    );
END
$$;
COMMENT ON FUNCTION superset_ext_grants.holds(pg_snapshot, text) IS 'Whether no watched table was written by what that snapshot does not see.';

-- Deletes the rows that no grant needs: a transaction that had ended `life` ago is visible in the snapshot of every
-- grant that may still be used.
CREATE OR REPLACE FUNCTION superset_ext_grants.tidy(life interval) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended xid8;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('superset_ext_grants.tidy', 0)) THEN
        RETURN;
    END IF;
    SELECT max(oldest) INTO ended FROM superset_ext_grants.horizon WHERE at < clock_timestamp() - life;
    DELETE FROM superset_ext_grants.change WHERE xid < ended;
    DELETE FROM superset_ext_grants.horizon WHERE oldest < ended;
    INSERT INTO superset_ext_grants.horizon DEFAULT VALUES;
END
$$;
COMMENT ON FUNCTION superset_ext_grants.tidy(interval) IS 'Deletes what is older than every grant; `life` is more than the longest one lives.';
