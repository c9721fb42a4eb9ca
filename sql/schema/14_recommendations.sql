-- What to set otherwise, as it was last worked out; the dashboards begin with it.

CREATE TABLE IF NOT EXISTS superset_ext.recommendation (
    place integer PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    finding text NOT NULL,
    setting text NOT NULL,
    brings text NOT NULL,
    estimated_seconds_a_day double precision NOT NULL
);

COMMENT ON TABLE superset_ext.recommendation IS 'What to set otherwise, as it was last worked out; superset perf recommend also has the evidence.';
COMMENT ON COLUMN superset_ext.recommendation.place IS '1 for what should bring most.';
COMMENT ON COLUMN superset_ext.recommendation.at IS 'When it was worked out.';
COMMENT ON COLUMN superset_ext.recommendation.kind IS 'Of what sort it is.';
COMMENT ON COLUMN superset_ext.recommendation.subject IS 'What it is about, as dataset:12.';
COMMENT ON COLUMN superset_ext.recommendation.name IS 'What people call that.';
COMMENT ON COLUMN superset_ext.recommendation.finding IS 'What was found, in a sentence.';
COMMENT ON COLUMN superset_ext.recommendation.setting IS 'What to set: a setting with its value, or a command.';
COMMENT ON COLUMN superset_ext.recommendation.brings IS 'What that should bring; an estimate says so.';
COMMENT ON COLUMN superset_ext.recommendation.estimated_seconds_a_day IS 'Database seconds a day that it should bring, an estimate.';
