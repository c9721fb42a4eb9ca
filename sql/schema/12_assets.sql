-- What of the built-in dashboards was installed into Superset, so that installing again knows what a person has edited.

CREATE TABLE IF NOT EXISTS superset_ext.installed_asset (
    uuid uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('database', 'dataset', 'chart', 'dashboard', 'rule')),
    installed text NOT NULL,
    found text NOT NULL,
    installed_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.installed_asset IS 'One row a database, dataset, chart, dashboard or row-level rule that was installed into Superset.';
COMMENT ON COLUMN superset_ext.installed_asset.uuid IS 'Superset''s UUID of it, which the bundle fixes; a rule''s own, since Superset gives those none.';
COMMENT ON COLUMN superset_ext.installed_asset.kind IS 'What it is.';
COMMENT ON COLUMN superset_ext.installed_asset.installed IS 'SHA-256 of what was installed, as the bundle says it.';
COMMENT ON COLUMN superset_ext.installed_asset.found IS 'SHA-256 of what Superset then had: what it has now differs from this where a person edited it.';
COMMENT ON COLUMN superset_ext.installed_asset.installed_at IS 'When it was last installed or updated.';
