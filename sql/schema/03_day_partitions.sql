-- Day partitions: made ahead, dropped whole.
--
-- A day is a UTC day and its bounds are written as such, so that nothing depends on the time zone of a
-- server or a session, or on daylight saving time. There is no default partition on purpose: rows in it
-- would keep the partition of their day from ever being made, and each new one would lock and scan it.
-- A writer makes the missing day first.

CREATE OR REPLACE FUNCTION superset_ext.utc_today() RETURNS date
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (now() AT TIME ZONE 'UTC')::date $$;

CREATE OR REPLACE FUNCTION superset_ext.create_day_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
    child text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
BEGIN
    IF to_regclass(format('superset_ext.%I', child)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext.partitions', 0));
    -- Another session may have made it meanwhile. A query of the catalog sees that; to_regclass may answer from
    -- this session's cache.
    IF EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'superset_ext' AND tablename = child) THEN
        RETURN false;
    END IF;
    -- Unlike CREATE TABLE … PARTITION OF, this does not block reads and writes of the parent.
    EXECUTE format(
        'CREATE TABLE superset_ext.%I (LIKE superset_ext.%I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS)',
        child, parent
    );
    EXECUTE format(
        'ALTER TABLE superset_ext.%I ATTACH PARTITION superset_ext.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00'
    );
    RETURN true;
END
$$;

COMMENT ON FUNCTION superset_ext.create_day_partition(text, date) IS 'Makes the partition of a UTC day; false where it exists.';

CREATE OR REPLACE FUNCTION superset_ext.drop_day_partitions(parent text, before date) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
    child text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('superset_ext.partitions', 0));
    FOR child IN
        SELECT c.relname
        FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(format('superset_ext.%I', parent))
            AND c.relname ~ ('^' || parent || '_\d{8}$')
            AND right(c.relname, 8) < to_char(before, 'YYYYMMDD')
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE superset_ext.%I', child);
        RETURN NEXT child;
    END LOOP;
END
$$;

COMMENT ON FUNCTION superset_ext.drop_day_partitions(text, date) IS 'Drops the partitions of all UTC days before one, and returns their names.';
