-- What to do next. Not materialized: it is a few rows.

CREATE OR REPLACE VIEW superset_ext.perf_advice AS
SELECT place, at, kind, subject, name, finding, setting, brings, estimated_seconds_a_day
FROM superset_ext.recommendation;

COMMENT ON VIEW superset_ext.perf_advice IS 'What to set otherwise, as it was last worked out.';
COMMENT ON COLUMN superset_ext.perf_advice.place IS '1 for what should bring most.';
COMMENT ON COLUMN superset_ext.perf_advice.at IS 'When it was worked out.';
COMMENT ON COLUMN superset_ext.perf_advice.kind IS 'Of what sort it is.';
COMMENT ON COLUMN superset_ext.perf_advice.subject IS 'What it is about, as dataset:12.';
COMMENT ON COLUMN superset_ext.perf_advice.name IS 'What people call that.';
COMMENT ON COLUMN superset_ext.perf_advice.finding IS 'What was found, in a sentence.';
COMMENT ON COLUMN superset_ext.perf_advice.setting IS 'What to set: a setting with its value, or a command.';
COMMENT ON COLUMN superset_ext.perf_advice.brings IS 'What that should bring; an estimate says so.';
COMMENT ON COLUMN superset_ext.perf_advice.estimated_seconds_a_day IS 'Database seconds a day that it should bring, an estimate.';
