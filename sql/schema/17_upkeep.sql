-- What sources need for themselves, as it was last looked at.

CREATE TABLE IF NOT EXISTS superset_ext.upkeep_finding (
    database_id integer NOT NULL,
    place integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'warning', 'notice')),
    subject text NOT NULL,
    evidence text NOT NULL,
    numbers jsonb NOT NULL,
    advice text NOT NULL,
    command text NOT NULL,
    PRIMARY KEY (database_id, place)
);

COMMENT ON TABLE superset_ext.upkeep_finding IS 'What sources need for themselves, as it was last looked at; superset perf upkeep looks anew.';
COMMENT ON COLUMN superset_ext.upkeep_finding.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.upkeep_finding.place IS '1 for what is most urgent there.';
COMMENT ON COLUMN superset_ext.upkeep_finding.at IS 'When it was looked at.';
COMMENT ON COLUMN superset_ext.upkeep_finding.since IS 'Since when it has been so at each look.';
COMMENT ON COLUMN superset_ext.upkeep_finding.kind IS 'The check that says so.';
COMMENT ON COLUMN superset_ext.upkeep_finding.severity IS 'critical, warning or notice.';
COMMENT ON COLUMN superset_ext.upkeep_finding.subject IS 'What it is about, as the source writes it.';
COMMENT ON COLUMN superset_ext.upkeep_finding.evidence IS 'What was seen, in a sentence without values of rows or queries.';
COMMENT ON COLUMN superset_ext.upkeep_finding.numbers IS 'The figures of that sentence.';
COMMENT ON COLUMN superset_ext.upkeep_finding.advice IS 'What to do.';
COMMENT ON COLUMN superset_ext.upkeep_finding.command IS 'A statement for that, which nobody has run; empty for none.';
