-- The functions that a listener calls.

CREATE OR REPLACE FUNCTION superset_ext_watch.state()
RETURNS TABLE (
    id integer, schema_name text, table_name text, added_at timestamptz, notified_at timestamptz,
    relation oid, missing bigint, shape text, part_of text[]
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.id, w.schema_name, w.table_name, w.added_at, w.notified_at, c.oid, found.missing, found.shape, found.part_of
    FROM superset_ext_watch.watched w
    LEFT JOIN pg_namespace n ON n.nspname = w.schema_name
    LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name AND c.relkind IN ('r', 'p')
    LEFT JOIN pg_class s
        ON s.relnamespace = 'superset_ext_watch'::regnamespace AND s.relname = format('epoch_%s', w.id)
    CROSS JOIN LATERAL (
        SELECT
            -- A trigger does not fire if it is disabled, or fires for replicas only.
            count(*) FILTER (WHERE s.oid IS NULL OR coalesce(g.tgenabled, 'D') IN ('D', 'R')) AS missing,
            -- Only DDL makes new versions of these rows of the catalog.
            hashtextextended(
                string_agg(concat_ws(' ', s.oid, k.oid, k.xmin, g.oid, g.xmin), ',' ORDER BY k.oid), 0
            )::text AS shape,
            array_agg(ARRAY[m_n.nspname, k.relname]::text[] ORDER BY k.oid) FILTER (WHERE above.id IS NOT NULL) AS part_of
        FROM superset_ext_watch.members(c.oid) AS m (id)
        JOIN pg_class k ON k.oid = m.id
        JOIN pg_namespace m_n ON m_n.oid = k.relnamespace
        LEFT JOIN pg_trigger g ON g.tgrelid = m.id AND g.tgname = format('superset_ext_watch_%s', w.id)
        LEFT JOIN (
            WITH RECURSIVE parents (id) AS (
                SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid
                UNION
                SELECT i.inhparent FROM pg_inherits i JOIN parents ON i.inhrelid = parents.id
            ) SELECT parents.id FROM parents
        ) AS above ON above.id = m.id
    ) AS found
    ORDER BY w.id
$$;

COMMENT ON FUNCTION superset_ext_watch.state() IS 'Each watched table: its relation (NULL if it is gone or no table any more), on how many of its members the trigger does not fire, a text that changes with its definition and its parts, and the tables that it is a part of.';

CREATE OR REPLACE FUNCTION superset_ext_watch.mute(watch_id integer, heard bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    epoch regclass := to_regclass(format('superset_ext_watch.epoch_%s', watch_id));
BEGIN
    UPDATE superset_ext_watch.watched SET notified_at = clock_timestamp() WHERE id = watch_id;
    -- The UPDATE locks the row until the transaction ends, so that each of several listeners sees what the others did.
    IF FOUND AND pg_sequence_last_value(epoch) = heard THEN
        PERFORM setval(epoch, heard + 1);
    END IF;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.mute(integer, bigint) IS 'Turns the epoch that was heard into the odd one after it, in which no commit notifies; does nothing if the epoch is another one by now.';

CREATE OR REPLACE FUNCTION superset_ext_watch.arm(watch_ids integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    watch_id integer;
    epoch regclass;
BEGIN
    FOR watch_id IN SELECT id FROM superset_ext_watch.watched WHERE id = ANY (watch_ids) ORDER BY id FOR UPDATE LOOP
        epoch := to_regclass(format('superset_ext_watch.epoch_%s', watch_id));
        PERFORM setval(epoch, (pg_sequence_last_value(epoch) | 1) + 1);
    END LOOP;
END
$$;

COMMENT ON FUNCTION superset_ext_watch.arm(integer[]) IS 'Begins a new, even epoch, in which the first commit of each session notifies.';

CREATE OR REPLACE FUNCTION superset_ext_watch.writers(watch_ids integer[])
RETURNS TABLE (id integer, writer text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT watch_id, l.virtualtransaction
    FROM unnest(watch_ids) AS watch_id
    JOIN pg_trigger g ON g.tgname = format('superset_ext_watch_%s', watch_id)
    JOIN pg_locks l ON l.relation = g.tgrelid
    WHERE l.locktype = 'relation' AND l.granted
        AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
$$;

COMMENT ON FUNCTION superset_ext_watch.writers(integer[]) IS 'The open transactions that may have written to a watched table; the name of a prepared one begins with "-1/".';

CREATE OR REPLACE FUNCTION superset_ext_watch.allow(listener regrole) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA superset_ext_watch TO %s', listener);
    EXECUTE format('GRANT SELECT ON superset_ext_watch.watched TO %s', listener);
END
$$;

COMMENT ON FUNCTION superset_ext_watch.allow(regrole) IS 'Allows a role to listen and no more, for a Superset whose role may not add watches.';
