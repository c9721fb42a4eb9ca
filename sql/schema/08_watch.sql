-- Source tables that are to be watched. What makes a watch is on the source itself, see sql/watch.

CREATE TABLE IF NOT EXISTS superset_ext.cache_watch (
    database_id integer NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (database_id, schema_name, table_name)
);

COMMENT ON TABLE superset_ext.cache_watch IS 'One row a source table that is to be watched; a listener puts back what is missing on the source.';
COMMENT ON COLUMN superset_ext.cache_watch.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.cache_watch.schema_name IS 'Schema of the source table, as its catalog has it.';
COMMENT ON COLUMN superset_ext.cache_watch.table_name IS 'Its name, likewise.';
COMMENT ON COLUMN superset_ext.cache_watch.added_at IS 'Since when.';
