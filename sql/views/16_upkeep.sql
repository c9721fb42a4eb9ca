-- What sources need for themselves. Not materialized: it is a few rows.

DROP VIEW IF EXISTS superset_ext.perf_upkeep;

CREATE VIEW superset_ext.perf_upkeep AS
SELECT
    row_number() OVER (
        ORDER BY array_position(ARRAY['critical', 'warning', 'notice'], need.severity), need.database_id, need.place
    ) AS place,
    need.at, need.since, superset_ext.object_label('database', need.database_id, name.name) AS database, need.kind,
    need.severity, need.subject, need.evidence, need.advice, need.command
FROM superset_ext.upkeep_finding AS need
LEFT JOIN superset_ext.object_name AS name ON name.kind = 'database' AND name.id = need.database_id;

COMMENT ON VIEW superset_ext.perf_upkeep IS 'What sources need for themselves, as it was last looked at.';
COMMENT ON COLUMN superset_ext.perf_upkeep.place IS '1 for what is most urgent.';
COMMENT ON COLUMN superset_ext.perf_upkeep.at IS 'When it was looked at.';
COMMENT ON COLUMN superset_ext.perf_upkeep.since IS 'Since when it has been so at each look.';
COMMENT ON COLUMN superset_ext.perf_upkeep.database IS 'Database.';
COMMENT ON COLUMN superset_ext.perf_upkeep.kind IS 'The check that says so.';
COMMENT ON COLUMN superset_ext.perf_upkeep.severity IS 'critical, warning or notice.';
COMMENT ON COLUMN superset_ext.perf_upkeep.subject IS 'What it is about, as the source writes it.';
COMMENT ON COLUMN superset_ext.perf_upkeep.evidence IS 'What was seen.';
COMMENT ON COLUMN superset_ext.perf_upkeep.advice IS 'What to do.';
COMMENT ON COLUMN superset_ext.perf_upkeep.command IS 'A statement for that, which nobody has run.';
