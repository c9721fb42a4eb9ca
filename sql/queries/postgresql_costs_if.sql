-- What statements cost with hypothetical indexes: answers to the questions of one round trip, as JSON.
-- Asked of a source database with hypopg, in a transaction that may only read. `request` and hypopg_schema are replaced.
-- A cursor is opened for each plan, which PostgreSQL refuses for a text of several statements. Before PostgreSQL 16, a
-- statement with parameters is prepared, and its plan is the generic one, which PostgreSQL makes for any value.
DO $superset_ext$
DECLARE
    request CONSTANT jsonb := 'request';
    made oid[] := '{}';
    wanted int[];
    question jsonb;
    costs jsonb;
    answers jsonb := '[]';
    number int;
    statement jsonb;
    parameters int;
    command text;
    plan text;
BEGIN
    PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
    PERFORM hypopg_schema.hypopg_reset();
    FOR question IN SELECT value FROM jsonb_array_elements(request -> 'questions') LOOP
        wanted := ARRAY(SELECT value::int FROM jsonb_array_elements_text(question -> 0));
        FOR number IN SELECT place FROM generate_series(1, coalesce(array_upper(made, 1), 0)) AS place LOOP
            IF made[number] IS NOT NULL AND number - 1 <> ALL (wanted) THEN
                PERFORM hypopg_schema.hypopg_drop_index(made[number]);
                made[number] := NULL;
            END IF;
        END LOOP;
        FOREACH number IN ARRAY wanted LOOP
            IF made[number + 1] IS NULL THEN
                made[number + 1] := (
                    SELECT indexrelid
                    FROM hypopg_schema.hypopg_create_index('CREATE INDEX ' || (request -> 'definitions' ->> number::text))
                );
            END IF;
        END LOOP;
        costs := '[]';
        FOR number IN SELECT value::int FROM jsonb_array_elements_text(question -> 1) LOOP
            BEGIN
                statement := request -> 'statements' -> number::text;
                parameters := statement ->> 1;
                command := 'EXPLAIN (FORMAT JSON) ' || (statement ->> 0);
                IF parameters > 0 AND (request ->> 'generic')::boolean THEN
                    command := 'EXPLAIN (FORMAT JSON, GENERIC_PLAN) ' || (statement ->> 0);
                ELSIF parameters > 0 THEN
                    EXECUTE 'PREPARE superset_ext_statement AS ' || (statement ->> 0);
                    command := 'EXPLAIN (FORMAT JSON) EXECUTE superset_ext_statement ('
                        || rtrim(repeat('NULL, ', parameters), ', ') || ')';
                END IF;
                FOR plan IN EXECUTE command LOOP
                    EXIT;
                END LOOP;
                IF parameters > 0 AND NOT (request ->> 'generic')::boolean THEN
                    DEALLOCATE superset_ext_statement;
                END IF;
                costs := costs || jsonb_build_array(jsonb_build_array(
                    substring(plan FROM '"Total Cost": ([0-9.]+)')::float8,
                    substring(plan FROM '"Plan Rows": ([0-9.]+)')::float8,
                    ARRAY(
                        SELECT array_position(made, mention[1]::oid) - 1
                        FROM regexp_matches(plan, '"Index Name": "<(\d+)>', 'g') AS mention
                    )
                ));
            EXCEPTION WHEN OTHERS THEN
                IF EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'superset_ext_statement') THEN
                    DEALLOCATE superset_ext_statement;
                END IF;
                costs := costs || to_jsonb(SQLERRM);
            END;
        END LOOP;
        answers := answers || jsonb_build_array(costs);
    END LOOP;
    PERFORM set_config('superset_ext.costs', answers::text, true);
END
$superset_ext$;
SELECT current_setting('superset_ext.costs')
