-- Charts that are answered by another text of their statement: which, what was compared, and what is switched off.

CREATE TABLE IF NOT EXISTS superset_ext.rewrite_use (
    dataset_id integer NOT NULL,
    fingerprint text NOT NULL,
    rules text[] NOT NULL,
    database_id integer NOT NULL,
    state text NOT NULL CHECK (state IN ('trying', 'used', 'off')),
    reason text NOT NULL DEFAULT '',
    uses bigint NOT NULL DEFAULT 0,
    runs bigint NOT NULL DEFAULT 0,
    differences bigint NOT NULL DEFAULT 0,
    failures bigint NOT NULL DEFAULT 0,
    stock_ms double precision NOT NULL DEFAULT 0,
    rewritten_ms double precision NOT NULL DEFAULT 0,
    state_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset_id, fingerprint, rules)
);

CREATE TABLE IF NOT EXISTS superset_ext.rewrite_switched_off (
    dataset_id integer NOT NULL,
    rule text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    database_id integer NOT NULL,
    fingerprint text NOT NULL,
    original text NOT NULL,
    rewritten text NOT NULL,
    PRIMARY KEY (dataset_id, rule)
);

COMMENT ON TABLE superset_ext.rewrite_use IS 'One row a statement of a dataset and the rules that rewrite it for charts.';
COMMENT ON COLUMN superset_ext.rewrite_use.dataset_id IS 'Superset''s dataset.';
COMMENT ON COLUMN superset_ext.rewrite_use.fingerprint IS 'Superset''s own statement, as in query_fingerprint.';
COMMENT ON COLUMN superset_ext.rewrite_use.rules IS 'The rules that apply to it.';
COMMENT ON COLUMN superset_ext.rewrite_use.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.rewrite_use.state IS 'trying: both texts are compared first; used: charts are answered by the other text; off: they are not.';
COMMENT ON COLUMN superset_ext.rewrite_use.reason IS 'Why it is off, in words without values of a query.';
COMMENT ON COLUMN superset_ext.rewrite_use.uses IS 'Charts that the other text has answered.';
COMMENT ON COLUMN superset_ext.rewrite_use.runs IS 'How often both texts were run in the background and compared.';
COMMENT ON COLUMN superset_ext.rewrite_use.differences IS 'How often they gave other rows.';
COMMENT ON COLUMN superset_ext.rewrite_use.failures IS 'How often Superset''s own statement had to be sent, after the other one.';
COMMENT ON COLUMN superset_ext.rewrite_use.stock_ms IS 'Milliseconds of Superset''s own statement, of all runs together.';
COMMENT ON COLUMN superset_ext.rewrite_use.rewritten_ms IS 'Milliseconds of the other one, of all runs together.';
COMMENT ON COLUMN superset_ext.rewrite_use.state_at IS 'Since when it has its state.';
COMMENT ON COLUMN superset_ext.rewrite_use.changed_at IS 'When anything of it last changed.';
COMMENT ON TABLE superset_ext.rewrite_switched_off IS 'Rules that gave other rows for a dataset, and are not used for it any more.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.dataset_id IS 'Superset''s dataset.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.rule IS 'The rule.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.at IS 'Since when.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.fingerprint IS 'The statement that showed it.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.original IS 'Superset''s own text of it, without values.';
COMMENT ON COLUMN superset_ext.rewrite_switched_off.rewritten IS 'The other text, without values.';
