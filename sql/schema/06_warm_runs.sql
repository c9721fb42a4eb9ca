-- Warming runs, their items, and what became of the entries that they stored.

CREATE TABLE IF NOT EXISTS superset_ext.cache_warm_run (
    run_id uuid PRIMARY KEY,
    schedule text,
    due_at timestamptz,
    options jsonb NOT NULL,
    options_hash text NOT NULL,
    requested_by text NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    reason text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    beat_at timestamptz NOT NULL DEFAULT now(),
    fresh integer NOT NULL DEFAULT 0,
    left_out integer NOT NULL DEFAULT 0,
    entries integer NOT NULL DEFAULT 0,
    entries_read integer NOT NULL DEFAULT 0,
    spent_ms double precision NOT NULL DEFAULT 0,
    saved_ms double precision NOT NULL DEFAULT 0,
    settled boolean NOT NULL DEFAULT false
);

-- Two beats, or two clicks, make one run.
CREATE UNIQUE INDEX IF NOT EXISTS cache_warm_run_due ON superset_ext.cache_warm_run (schedule, due_at);
CREATE UNIQUE INDEX IF NOT EXISTS cache_warm_run_active ON superset_ext.cache_warm_run (options_hash)
    WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS cache_warm_run_created_at ON superset_ext.cache_warm_run (created_at);

COMMENT ON TABLE superset_ext.cache_warm_run IS 'One row a warming run.';
COMMENT ON COLUMN superset_ext.cache_warm_run.run_id IS 'The run.';
COMMENT ON COLUMN superset_ext.cache_warm_run.schedule IS 'Name of the schedule; NULL for a run that somebody asked for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.due_at IS 'The moment of the schedule that the run is for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.options IS 'Targets and limits.';
COMMENT ON COLUMN superset_ext.cache_warm_run.options_hash IS 'Hash of them: of equal runs only one is under way.';
COMMENT ON COLUMN superset_ext.cache_warm_run.requested_by IS 'beat, cli, api or rewarm.';
COMMENT ON COLUMN superset_ext.cache_warm_run.state IS 'queued, running, done (items may have failed), or failed as a whole.';
COMMENT ON COLUMN superset_ext.cache_warm_run.reason IS 'Why it failed, or what its schedule should know.';
COMMENT ON COLUMN superset_ext.cache_warm_run.created_at IS 'When it was asked for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.started_at IS 'When a worker had planned it.';
COMMENT ON COLUMN superset_ext.cache_warm_run.finished_at IS 'When it ended.';
COMMENT ON COLUMN superset_ext.cache_warm_run.beat_at IS 'Last sign of life of a worker at it.';
COMMENT ON COLUMN superset_ext.cache_warm_run.fresh IS 'Requests that were left out, because their entries will last.';
COMMENT ON COLUMN superset_ext.cache_warm_run.left_out IS 'Requests that were left out, because the budget was full.';
COMMENT ON COLUMN superset_ext.cache_warm_run.entries IS 'Entries that it stored.';
COMMENT ON COLUMN superset_ext.cache_warm_run.entries_read IS 'Those of them that people read before they went.';
COMMENT ON COLUMN superset_ext.cache_warm_run.spent_ms IS 'Milliseconds that computing them took.';
COMMENT ON COLUMN superset_ext.cache_warm_run.saved_ms IS 'Milliseconds that people did not wait: the cost of each entry that was read, once, since its first reader would have stored it for the others.';
COMMENT ON COLUMN superset_ext.cache_warm_run.settled IS 'Whether all of its entries have gone, so that the figures are final.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_warm_item (
    run_id uuid NOT NULL REFERENCES superset_ext.cache_warm_run ON DELETE CASCADE,
    ordinal integer NOT NULL,
    action text NOT NULL CHECK (action IN ('replay', 'refresh', 'discover')),
    fingerprint text,
    page text,
    user_id integer,
    guest jsonb,
    who text NOT NULL,
    dashboard_id integer,
    chart_id integer,
    database_id integer,
    cost_ms double precision,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'warmed', 'fresh', 'failed')),
    reason text,
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    lease uuid,
    lease_until timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    took_ms double precision,
    PRIMARY KEY (run_id, ordinal)
);

CREATE INDEX IF NOT EXISTS cache_warm_item_open ON superset_ext.cache_warm_item (run_id, ordinal)
    WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS cache_warm_item_running ON superset_ext.cache_warm_item (database_id)
    WHERE state = 'running';

COMMENT ON TABLE superset_ext.cache_warm_item IS 'What a run does: one request as one user, or one page to discover.';
COMMENT ON COLUMN superset_ext.cache_warm_item.run_id IS 'The run.';
COMMENT ON COLUMN superset_ext.cache_warm_item.ordinal IS 'Its place in the run.';
COMMENT ON COLUMN superset_ext.cache_warm_item.action IS 'replay: ask, and so store where nothing is; refresh: ask anew, since the entry would go too soon; discover: open the page.';
COMMENT ON COLUMN superset_ext.cache_warm_item.fingerprint IS 'The request, of cache_request.';
COMMENT ON COLUMN superset_ext.cache_warm_item.page IS 'The page to discover: dashboard:<id> or chart:<id>.';
COMMENT ON COLUMN superset_ext.cache_warm_item.who IS 'As whom; see cache_request_scope.';
COMMENT ON COLUMN superset_ext.cache_warm_item.user_id IS 'Superset''s user.';
COMMENT ON COLUMN superset_ext.cache_warm_item.guest IS 'Claims of a guest.';
COMMENT ON COLUMN superset_ext.cache_warm_item.dashboard_id IS 'Superset''s dashboard.';
COMMENT ON COLUMN superset_ext.cache_warm_item.chart_id IS 'Superset''s chart.';
COMMENT ON COLUMN superset_ext.cache_warm_item.database_id IS 'Superset''s database, whose limit of queries at a time it falls under.';
COMMENT ON COLUMN superset_ext.cache_warm_item.cost_ms IS 'What it is expected to cost in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_warm_item.state IS 'warmed: an entry was stored (of a page: its requests are known); fresh: there was nothing to do; failed: see reason.';
COMMENT ON COLUMN superset_ext.cache_warm_item.reason IS 'Why it failed, or why it will be tried again.';
COMMENT ON COLUMN superset_ext.cache_warm_item.attempts IS 'Times that a worker took it.';
COMMENT ON COLUMN superset_ext.cache_warm_item.not_before IS 'Not to be taken earlier, after a fault that passes.';
COMMENT ON COLUMN superset_ext.cache_warm_item.lease IS 'Token of who has it; an answer with another one is not taken.';
COMMENT ON COLUMN superset_ext.cache_warm_item.lease_until IS 'When another worker may take it.';
COMMENT ON COLUMN superset_ext.cache_warm_item.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN superset_ext.cache_warm_item.finished_at IS 'When it ended for good.';
COMMENT ON COLUMN superset_ext.cache_warm_item.took_ms IS 'Milliseconds that the last attempt took.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_warm_entry (
    run_id uuid NOT NULL REFERENCES superset_ext.cache_warm_run ON DELETE CASCADE,
    cache_key text NOT NULL,
    ordinal integer NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    cost_ms double precision NOT NULL,
    reads bigint NOT NULL DEFAULT 0,
    first_read_at timestamptz,
    gone_at timestamptz,
    PRIMARY KEY (run_id, cache_key)
);

CREATE INDEX IF NOT EXISTS cache_warm_entry_key ON superset_ext.cache_warm_entry (cache_key) WHERE gone_at IS NULL;

COMMENT ON TABLE superset_ext.cache_warm_entry IS 'Entries that warming stored, and whether anybody read them.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.run_id IS 'The run.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.cache_key IS 'Superset''s cache key.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.ordinal IS 'The item that stored it.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.stored_at IS 'When it was stored.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.expires_at IS 'When its time is over; NULL for never.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.cost_ms IS 'Milliseconds that computing it took.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.reads IS 'Times that people read it.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.first_read_at IS 'When the first of them did.';
COMMENT ON COLUMN superset_ext.cache_warm_entry.gone_at IS 'When it went: at its time, or when somebody found it gone, or another run stored it anew.';
