-- Signs of life of what runs on a schedule.

CREATE TABLE IF NOT EXISTS superset_ext.heartbeat (
    name text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

COMMENT ON TABLE superset_ext.heartbeat IS 'One row a periodic task: when it last ran.';
COMMENT ON COLUMN superset_ext.heartbeat.name IS 'Celery''s name of the task.';
COMMENT ON COLUMN superset_ext.heartbeat.at IS 'When it last began, which shows that Celery beat and a worker run.';
