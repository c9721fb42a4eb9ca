-- The schema that holds everything of this package, and what the package notes about itself: the files that made the
-- schema, the tasks that run, and what was installed into Superset.

-- CREATE SCHEMA needs a right on the database even where the schema exists, so it runs only where it does not.
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

CREATE TABLE IF NOT EXISTS superset_ext.heartbeat (
    name text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

COMMENT ON TABLE superset_ext.heartbeat IS 'One row a periodic task: when it last ran.';
COMMENT ON COLUMN superset_ext.heartbeat.name IS 'Celery''s name of the task.';
COMMENT ON COLUMN superset_ext.heartbeat.at IS 'When it last began, which shows that Celery beat and a worker run.';

CREATE TABLE IF NOT EXISTS superset_ext.installed_asset (
    uuid uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('database', 'dataset', 'chart', 'dashboard', 'rule')),
    bundle_hash text NOT NULL,
    export_hash text NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.installed_asset IS 'One row a database, dataset, chart, dashboard or row-level rule that was installed into Superset.';
COMMENT ON COLUMN superset_ext.installed_asset.uuid IS 'Superset''s UUID of it, which the bundle fixes; a rule''s own, since Superset gives rules none.';
COMMENT ON COLUMN superset_ext.installed_asset.kind IS 'What it is.';
COMMENT ON COLUMN superset_ext.installed_asset.bundle_hash IS 'SHA-256 of the asset in the bundle that was installed.';
COMMENT ON COLUMN superset_ext.installed_asset.export_hash IS 'SHA-256 of what Superset exported right after that; today''s export differs from it where a person edited the asset.';
COMMENT ON COLUMN superset_ext.installed_asset.installed_at IS 'When it was last installed or updated.';
