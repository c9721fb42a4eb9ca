-- Aggregates on a source database: small tables that answer the charts of large ones, and what is known of them.
--
-- `superset perf aggregates build` runs these files. uninstall.sql removes everything again.
--
-- Each aggregate is a table of this schema with a row in the catalogue. Where its base has our triggers, every statement
-- that writes the base leaves notes of the groups that it changed, and of what it added and took away there, in the
-- aggregate's table of notes, in the same transaction: whoever sees the change sees the notes. A refresh takes the notes
-- that its snapshot sees and adds them up, or makes groups anew from what that snapshot sees. So an aggregate is exact in
-- every snapshot that sees none of its notes, however long transactions last and in whatever order they commit.

DO $$ BEGIN PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('superset_ext_aggregates', 0)); END $$;

CREATE SCHEMA IF NOT EXISTS superset_ext_aggregates;
COMMENT ON SCHEMA superset_ext_aggregates IS 'superset_ext: aggregates, version 2';

CREATE TABLE IF NOT EXISTS superset_ext_aggregates.catalogue (
    name text PRIMARY KEY,
    digest text NOT NULL,
    definition jsonb NOT NULL,
    path text[] NOT NULL,
    base_schema text,
    base_name text,
    base_columns text[] NOT NULL,
    upkeep text NOT NULL CHECK (upkeep IN ('notes', 'tail', 'schedule')),
    every_seconds integer NOT NULL,
    tail_key text,
    late_seconds integer NOT NULL DEFAULT 0,
    filters text[] NOT NULL DEFAULT '{}',
    state text NOT NULL CHECK (state IN ('building', 'ready', 'off')),
    reason text NOT NULL DEFAULT '',
    relation oid,
    version bigint NOT NULL DEFAULT 0,
    anchor text,
    as_of timestamptz,
    seen pg_snapshot,
    rows bigint,
    bytes bigint,
    types jsonb NOT NULL DEFAULT '{}',
    distinct_values jsonb NOT NULL DEFAULT '{}',
    seconds double precision,
    built_at timestamptz,
    refreshed_at timestamptz,
    checked_at timestamptz
);

COMMENT ON TABLE superset_ext_aggregates.catalogue IS 'One row for each aggregate.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.name IS 'Name of the aggregate, and of its table in this schema.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.digest IS 'What stands for its definition.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.definition IS 'Its relation, keys and measures.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.path IS 'Schemas where names without one are looked up in its query.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.base_schema IS 'Schema of the table that it is made of; NULL where it is made of a query.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.base_name IS 'Name of that table. A name and not a number, so that a table made anew is the same.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.base_columns IS 'The columns of the base that it needs.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.upkeep IS 'notes: triggers note which groups have changed; tail: rows are only added, at the end of time; schedule: all of it is made anew.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.every_seconds IS 'How often it is looked at.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.tail_key IS 'The key of time, where rows are only added at its end.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.late_seconds IS 'How late such rows may come.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.filters IS 'Columns of it that readers filter by.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.state IS 'building: it was begun; ready: it may be read; off: it is wrong, or cannot be kept.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.reason IS 'Why it is off, or why its last refresh failed; empty where all is well.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.relation IS 'Number of its table, by which an older snapshot knows that another one has its name now.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.version IS 'Counts its refreshes.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.anchor IS 'What the base, its parts and our triggers were when it was made.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.as_of IS 'Everything that had been committed by then is in it.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.seen IS 'The snapshot of its last refresh: the transactions that are in it.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.rows IS 'How many rows it has.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.bytes IS 'Its size with indexes.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.types IS 'The type of each of its columns.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.distinct_values IS 'How many values each of its keys has, NULL among them.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.seconds IS 'How long its last refresh took.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.built_at IS 'When it was built.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.refreshed_at IS 'When it was last refreshed.';
COMMENT ON COLUMN superset_ext_aggregates.catalogue.checked_at IS 'When all of it was last compared with its base.';
