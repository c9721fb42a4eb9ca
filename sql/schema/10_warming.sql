-- Warming: the registry of what browsers, embedded pages and reports really ask for, so that it can be asked again; the
-- runs that do so, their items, and the entries that they stored.

CREATE TABLE IF NOT EXISTS superset_ext.cache_request (
    fingerprint text PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('data', 'stored', 'explore')),
    path text NOT NULL,
    args text NOT NULL,
    body text,
    is_form boolean NOT NULL,
    replayable boolean NOT NULL,
    dashboard_id integer,
    chart_id integer,
    dataset_id integer,
    database_id integer,
    queries integer NOT NULL,
    uses double precision NOT NULL,
    used_at timestamptz NOT NULL,
    hours real[] NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    cost_ms double precision,
    tags text[] NOT NULL DEFAULT '{}'
);

CREATE INDEX IF NOT EXISTS cache_request_dashboard ON superset_ext.cache_request (dashboard_id);
CREATE INDEX IF NOT EXISTS cache_request_chart ON superset_ext.cache_request (chart_id);
CREATE INDEX IF NOT EXISTS cache_request_dataset ON superset_ext.cache_request (dataset_id);
CREATE INDEX IF NOT EXISTS cache_request_last_seen ON superset_ext.cache_request (last_seen);
CREATE INDEX IF NOT EXISTS cache_request_tags ON superset_ext.cache_request USING gin (tags);

COMMENT ON TABLE superset_ext.cache_request IS 'Chart data requests, each once: requests that differ only in ways that change no answer are one.';
COMMENT ON COLUMN superset_ext.cache_request.fingerprint IS 'Hash of the normalised request.';
COMMENT ON COLUMN superset_ext.cache_request.kind IS 'data: POST /api/v1/chart/data; stored: GET /api/v1/chart/<id>/data/; explore: /superset/explore_json/.';
COMMENT ON COLUMN superset_ext.cache_request.path IS 'Its path.';
COMMENT ON COLUMN superset_ext.cache_request.args IS 'Its query string, without anything that could be a credential.';
COMMENT ON COLUMN superset_ext.cache_request.body IS 'Its JSON; NULL where there is none, or where its values are not to be kept.';
COMMENT ON COLUMN superset_ext.cache_request.is_form IS 'Whether the JSON came as the form field form_data.';
COMMENT ON COLUMN superset_ext.cache_request.replayable IS 'Whether it can be asked again; if not, its dashboard is discovered again.';
COMMENT ON COLUMN superset_ext.cache_request.dashboard_id IS 'Superset''s dashboard; NULL where it was asked outside one.';
COMMENT ON COLUMN superset_ext.cache_request.chart_id IS 'Superset''s chart; NULL for the options of a native filter.';
COMMENT ON COLUMN superset_ext.cache_request.dataset_id IS 'Superset''s dataset.';
COMMENT ON COLUMN superset_ext.cache_request.database_id IS 'Superset''s database.';
COMMENT ON COLUMN superset_ext.cache_request.queries IS 'Cache keys that it reads.';
COMMENT ON COLUMN superset_ext.cache_request.uses IS 'Decayed count of uses by people, as of used_at: half of it is gone after seven days.';
COMMENT ON COLUMN superset_ext.cache_request.used_at IS 'The moment as of which uses and hours are counted.';
COMMENT ON COLUMN superset_ext.cache_request.hours IS 'Uses by hour of the week (1 is Monday 0:00 to 1:00 UTC, 168 the last), decayed: half is gone after 28 days. Empty until somebody has used it.';
COMMENT ON COLUMN superset_ext.cache_request.first_seen IS 'When it was first asked or discovered.';
COMMENT ON COLUMN superset_ext.cache_request.last_seen IS 'When it was last asked or discovered.';
COMMENT ON COLUMN superset_ext.cache_request.cost_ms IS 'Milliseconds that its answer costs to compute: a mean in which the last one counts for a third.';
COMMENT ON COLUMN superset_ext.cache_request.tags IS 'What its answers were read from, as in cache_invalidation_log.tags: which of them a change drops.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_access_scope (
    fingerprint text NOT NULL REFERENCES superset_ext.cache_request ON DELETE CASCADE,
    access_scope text NOT NULL,
    cache_keys text[] NOT NULL,
    identity text NOT NULL,
    user_id integer,
    guest jsonb,
    uses double precision NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (fingerprint, access_scope)
);

CREATE INDEX IF NOT EXISTS cache_access_scope_identity ON superset_ext.cache_access_scope (fingerprint, identity);

COMMENT ON TABLE superset_ext.cache_access_scope IS 'The access scopes of a request: the cache keys that it leads to under somebody''s rights. Each has one row, with the user or guest who had it last.';
COMMENT ON COLUMN superset_ext.cache_access_scope.fingerprint IS 'The request.';
COMMENT ON COLUMN superset_ext.cache_access_scope.identity IS 'user:<id>, guest:<hash of the claims> or anonymous.';
COMMENT ON COLUMN superset_ext.cache_access_scope.user_id IS 'Superset''s user.';
COMMENT ON COLUMN superset_ext.cache_access_scope.guest IS 'Claims of a guest: user, resources and rules; never a token.';
COMMENT ON COLUMN superset_ext.cache_access_scope.access_scope IS 'Hash of the cache keys; of a discovered request that was not asked yet, the identity.';
COMMENT ON COLUMN superset_ext.cache_access_scope.cache_keys IS 'The cache keys; empty where they are not known yet.';
COMMENT ON COLUMN superset_ext.cache_access_scope.uses IS 'Decayed count of uses in this access scope, as of used_at.';
COMMENT ON COLUMN superset_ext.cache_access_scope.used_at IS 'When it was last used.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_discovery (
    page text PRIMARY KEY,
    version text NOT NULL,
    discovered_at timestamptz NOT NULL,
    requests integer NOT NULL,
    problems text[] NOT NULL
);

COMMENT ON TABLE superset_ext.cache_discovery IS 'Pages that a headless browser opened to see what they ask for, once a version.';
COMMENT ON COLUMN superset_ext.cache_discovery.page IS 'dashboard:<id> or chart:<id>.';
COMMENT ON COLUMN superset_ext.cache_discovery.version IS 'Hash of when the page, its charts and its datasets were last changed.';
COMMENT ON COLUMN superset_ext.cache_discovery.discovered_at IS 'When it was opened.';
COMMENT ON COLUMN superset_ext.cache_discovery.requests IS 'Chart data requests that it made.';
COMMENT ON COLUMN superset_ext.cache_discovery.problems IS 'What could not be opened or read.';

-- How old uses lose weight. The exponent is bounded, because no double precision is as small as 2 ** -1100.
CREATE OR REPLACE FUNCTION superset_ext.left_of(age interval, half_days double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT power(0.5::float8, least(900, greatest(extract(epoch FROM age)::float8, 0) / 86400 / half_days))
$$;

COMMENT ON FUNCTION superset_ext.left_of(interval, double precision) IS 'The share that is left of a count after a time, when half of it is gone after so many days.';

CREATE OR REPLACE FUNCTION superset_ext.uses_left(age interval) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT superset_ext.left_of(age, 7)
$$;

COMMENT ON FUNCTION superset_ext.uses_left(interval) IS 'The share that is left of uses after a time: half is gone after 7 days.';

CREATE OR REPLACE FUNCTION superset_ext.profile_left(age interval) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT superset_ext.left_of(age, 28)
$$;

COMMENT ON FUNCTION superset_ext.profile_left(interval) IS 'The share that is left of a profile by hour of the week after a time: half is gone after 28 days.';

-- The sum of a geometric series. A week leaves 2 ** -0.25 of a profile, whose half is gone after four.
CREATE OR REPLACE FUNCTION superset_ext.profile_weeks(age interval) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (1 - power(0.5::float8, least(900, greatest(1, ceil(extract(epoch FROM age)::float8 / 604800)) * 0.25)))
        / (1 - power(0.5::float8, 0.25))
$$;

COMMENT ON FUNCTION superset_ext.profile_weeks(interval) IS 'How many decayed weeks a profile has been filled for that was begun so long ago.';

-- Profiles by hour of the week are added up in the database, so that processes need not read them.
CREATE OR REPLACE FUNCTION superset_ext.added_hours(stored real[], factor double precision, fresh real[]) RETURNS real[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN cardinality(stored) = 0 THEN fresh
        WHEN cardinality(fresh) = 0 THEN (SELECT array_agg((s * factor)::real ORDER BY n) FROM unnest(stored) WITH ORDINALITY AS t (s, n))
        ELSE (SELECT array_agg((s * factor + f)::real ORDER BY n) FROM unnest(stored, fresh) WITH ORDINALITY AS t (s, f, n))
    END
$$;

COMMENT ON FUNCTION superset_ext.added_hours(real[], double precision, real[]) IS 'A stored profile, decayed by a factor, plus a fresh one; an empty one counts as zero.';

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

-- Two Celery beats, or two clicks, make one run.
CREATE UNIQUE INDEX IF NOT EXISTS cache_warm_run_due ON superset_ext.cache_warm_run (schedule, due_at);
CREATE UNIQUE INDEX IF NOT EXISTS cache_warm_run_active ON superset_ext.cache_warm_run (options_hash)
    WHERE state IN ('queued', 'running');
CREATE INDEX IF NOT EXISTS cache_warm_run_created_at ON superset_ext.cache_warm_run (created_at);

COMMENT ON TABLE superset_ext.cache_warm_run IS 'One row a warming run.';
COMMENT ON COLUMN superset_ext.cache_warm_run.run_id IS 'The run.';
COMMENT ON COLUMN superset_ext.cache_warm_run.schedule IS 'Name of the schedule; NULL for a run that was asked for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.due_at IS 'The moment of the schedule that the run is for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.options IS 'Targets and limits.';
COMMENT ON COLUMN superset_ext.cache_warm_run.options_hash IS 'Hash of the options: of equal runs only one is active.';
COMMENT ON COLUMN superset_ext.cache_warm_run.requested_by IS 'beat, cli, api or rewarm.';
COMMENT ON COLUMN superset_ext.cache_warm_run.state IS 'queued, running, done (items may have failed), or failed as a whole.';
COMMENT ON COLUMN superset_ext.cache_warm_run.reason IS 'Why it failed, or a warning about its schedule.';
COMMENT ON COLUMN superset_ext.cache_warm_run.created_at IS 'When it was asked for.';
COMMENT ON COLUMN superset_ext.cache_warm_run.started_at IS 'When a worker began it.';
COMMENT ON COLUMN superset_ext.cache_warm_run.finished_at IS 'When it ended.';
COMMENT ON COLUMN superset_ext.cache_warm_run.beat_at IS 'Last sign of life of a worker at it.';
COMMENT ON COLUMN superset_ext.cache_warm_run.fresh IS 'Requests that were left out because their entries will last.';
COMMENT ON COLUMN superset_ext.cache_warm_run.left_out IS 'Requests that were left out because the budget was full.';
COMMENT ON COLUMN superset_ext.cache_warm_run.entries IS 'Entries that it stored.';
COMMENT ON COLUMN superset_ext.cache_warm_run.entries_read IS 'Those of them that people read before they went.';
COMMENT ON COLUMN superset_ext.cache_warm_run.spent_ms IS 'Milliseconds that computing them took.';
COMMENT ON COLUMN superset_ext.cache_warm_run.saved_ms IS 'Milliseconds that people did not wait: the cost of each entry that was read, once, since its first reader would have stored it for the others.';
COMMENT ON COLUMN superset_ext.cache_warm_run.settled IS 'Whether all of its entries are gone, so that the figures are final.';

CREATE TABLE IF NOT EXISTS superset_ext.cache_warm_item (
    run_id uuid NOT NULL REFERENCES superset_ext.cache_warm_run ON DELETE CASCADE,
    ordinal integer NOT NULL,
    action text NOT NULL CHECK (action IN ('replay', 'refresh', 'discover')),
    fingerprint text,
    page text,
    user_id integer,
    guest jsonb,
    identity text NOT NULL,
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
COMMENT ON COLUMN superset_ext.cache_warm_item.action IS 'replay: ask, which stores an entry where there is none; refresh: ask again, since the entry would expire too soon; discover: open the page.';
COMMENT ON COLUMN superset_ext.cache_warm_item.fingerprint IS 'The request, of cache_request.';
COMMENT ON COLUMN superset_ext.cache_warm_item.page IS 'The page to discover: dashboard:<id> or chart:<id>.';
COMMENT ON COLUMN superset_ext.cache_warm_item.identity IS 'The user or guest as whom it is asked; see cache_access_scope.';
COMMENT ON COLUMN superset_ext.cache_warm_item.user_id IS 'Superset''s user.';
COMMENT ON COLUMN superset_ext.cache_warm_item.guest IS 'Claims of a guest.';
COMMENT ON COLUMN superset_ext.cache_warm_item.dashboard_id IS 'Superset''s dashboard.';
COMMENT ON COLUMN superset_ext.cache_warm_item.chart_id IS 'Superset''s chart.';
COMMENT ON COLUMN superset_ext.cache_warm_item.database_id IS 'Superset''s database; its limit of concurrent queries applies.';
COMMENT ON COLUMN superset_ext.cache_warm_item.cost_ms IS 'What it is expected to cost in milliseconds.';
COMMENT ON COLUMN superset_ext.cache_warm_item.state IS 'warmed: an entry was stored (of a page: its requests are known); fresh: there was nothing to do; failed: see reason.';
COMMENT ON COLUMN superset_ext.cache_warm_item.reason IS 'Why it failed, or why it will be tried again.';
COMMENT ON COLUMN superset_ext.cache_warm_item.attempts IS 'Times that a worker took it.';
COMMENT ON COLUMN superset_ext.cache_warm_item.not_before IS 'Not to be taken earlier, after a fault that passes.';
COMMENT ON COLUMN superset_ext.cache_warm_item.lease IS 'Token of the worker that has it; a result with another token is ignored.';
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
COMMENT ON COLUMN superset_ext.cache_warm_entry.gone_at IS 'When it went: at its time, when a reader missed it, or when another run stored it again.';
