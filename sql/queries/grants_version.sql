-- The version of the triggers of grants, as the comment of their schema, where all is there that is asked and written.
SELECT obj_description(to_regnamespace('superset_ext_grants'), 'pg_namespace') AS version
WHERE NOT EXISTS (
    SELECT FROM unnest(ARRAY['change', 'horizon', 'run']) AS t(name)
    WHERE to_regclass('superset_ext_grants.' || name) IS NULL
) AND NOT EXISTS (
    SELECT FROM unnest(ARRAY[
        'anchor()', 'begin_run()', 'changed()', 'colorless(jsonb)', 'dashboard_written()',
        'held_still(pg_snapshot, text, integer[], text)',
        'holds(pg_snapshot, text, integer[])', 'tidy()', 'untold(regclass[])', 'user_changed()', 'watch(regclass[])'
    ]) AS f(name)
    WHERE to_regprocedure('superset_ext_grants.' || name) IS NULL
);
