-- The schema that holds everything of this package, and the list of the files that made it.
-- No CREATE SCHEMA where it is there already: it asks for a right on the database even then.
DO $$
BEGIN
    IF to_regnamespace('superset_ext') IS NULL THEN
        CREATE SCHEMA superset_ext;
    END IF;
END
$$;

COMMENT ON SCHEMA superset_ext IS 'The performance layer for Apache Superset: its log and nothing of Superset''s own.';

CREATE TABLE IF NOT EXISTS superset_ext.schema_version (
    file text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.schema_version IS 'The files of sql/schema that were applied, each once, in the order of their names.';
COMMENT ON COLUMN superset_ext.schema_version.file IS 'Name of the file.';
COMMENT ON COLUMN superset_ext.schema_version.checksum IS 'SHA-256 of its bytes, in hex; a file that was changed after it was applied is an error.';
COMMENT ON COLUMN superset_ext.schema_version.applied_at IS 'When it was applied.';
