-- Sources that have aggregates. What these are, the source itself knows: sql/aggregates.

CREATE TABLE IF NOT EXISTS superset_ext.aggregate_source (
    database_id integer PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE superset_ext.aggregate_source IS 'One row for each of Superset''s databases on whose source aggregates were built; their upkeep looks there.';
COMMENT ON COLUMN superset_ext.aggregate_source.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.aggregate_source.since IS 'When the first one was built.';
