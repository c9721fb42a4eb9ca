-- Watches on a source database: a commit that changes a watched table notifies `superset perf listen`.
--
-- `superset perf watch add` runs these files. Where Superset's role may not, an administrator does:
--   cat sql/watch/0*.sql | psql --single-transaction --set ON_ERROR_STOP=1 "$SOURCE"
--   SELECT superset_ext_watch.add('public.sales');
--   SELECT superset_ext_watch.allow('superset');      allows Superset's role to listen, and no more
--   SELECT superset_ext_watch.remove('public', 'sales');
-- and `superset perf watch add DATABASE public.sales` is still run, which needs no right on the table then: it remembers
-- that the table is wanted. Where Superset's role adds the triggers itself, it needs, for each table:
--   GRANT TRIGGER ON TABLE public.sales TO superset;
-- uninstall.sql removes everything again.

DO $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('superset_ext_watch', 0)); END $$;

CREATE SCHEMA IF NOT EXISTS superset_ext_watch;
COMMENT ON SCHEMA superset_ext_watch IS 'superset_ext: watched tables, version 3';

CREATE TABLE IF NOT EXISTS superset_ext_watch.watched (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    notified_at timestamptz,
    UNIQUE (schema_name, table_name)
);

COMMENT ON TABLE superset_ext_watch.watched IS 'One row for each watched table.';
COMMENT ON COLUMN superset_ext_watch.watched.id IS 'Number of the watch; it names the function changed_<id>, the sequence epoch_<id> and the triggers.';
COMMENT ON COLUMN superset_ext_watch.watched.schema_name IS 'Schema of the table. A name and not a number, so that a table made anew is the same.';
COMMENT ON COLUMN superset_ext_watch.watched.table_name IS 'Name of the table.';
COMMENT ON COLUMN superset_ext_watch.watched.added_at IS 'Since when the table is watched.';
COMMENT ON COLUMN superset_ext_watch.watched.notified_at IS 'When a listener last heard that the table changed; several changes within a second count as one.';

-- Of several sessions that add or remove watches, one works and the others wait.
CREATE OR REPLACE FUNCTION superset_ext_watch.lock(patience interval) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_catalog.set_config('lock_timeout', (extract(epoch FROM patience) * 1000)::bigint::text, true);
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('superset_ext_watch', 0));
END
$$;

COMMENT ON FUNCTION superset_ext_watch.lock(interval) IS 'Keeps others from adding or removing watches until the transaction ends; each of its locks may take `patience`.';
