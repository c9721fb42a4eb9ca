-- What statements cost with indexes of a scratch server: answers to the questions of one round trip, as JSON.
-- Asked of the scratch server (PostgreSQL 18) by its superuser. `request` is replaced. An index that is not offered is
-- marked as not valid, so that no plan uses it. A cursor is opened for each plan, which PostgreSQL refuses for a text of
-- several statements.
DO $superset_ext$
DECLARE
    request CONSTANT jsonb := 'request';
    offered oid[] := ARRAY(SELECT value::oid FROM jsonb_array_elements_text(request -> 'offered'));
    wanted oid[];
    question jsonb;
    costs jsonb;
    answers jsonb := '[]';
    number int;
    statement jsonb;
    command text;
    plan text;
BEGIN
    FOR question IN SELECT value FROM jsonb_array_elements(request -> 'questions') LOOP
        wanted := ARRAY(SELECT value::oid FROM jsonb_array_elements_text(question -> 0));
        UPDATE pg_index SET indisvalid = NOT indisvalid
        WHERE indexrelid = ANY (ARRAY(
            (SELECT unnest(wanted) EXCEPT SELECT unnest(offered))
            UNION ALL
            (SELECT unnest(offered) EXCEPT SELECT unnest(wanted))
        ));
        offered := wanted;
        costs := '[]';
        FOR number IN SELECT value::int FROM jsonb_array_elements_text(question -> 1) LOOP
            BEGIN
                statement := request -> 'statements' -> number::text;
                command := 'EXPLAIN (FORMAT JSON' || CASE WHEN (statement ->> 1)::int > 0 THEN ', GENERIC_PLAN' ELSE '' END
                    || ') ' || (statement ->> 0);
                FOR plan IN EXECUTE command LOOP
                    EXIT;
                END LOOP;
                costs := costs || jsonb_build_array(jsonb_build_array(
                    substring(plan FROM '"Total Cost": ([0-9.]+)')::float8,
                    substring(plan FROM '"Plan Rows": ([0-9.]+)')::float8,
                    ARRAY(
                        SELECT mention[1]::int
                        FROM regexp_matches(plan, '"Index Name": "superset_ext_candidate_(\d+)"', 'g') AS mention
                    )
                ));
            EXCEPTION WHEN OTHERS THEN
                costs := costs || to_jsonb(SQLERRM);
            END;
        END LOOP;
        answers := answers || jsonb_build_array(costs);
    END LOOP;
    PERFORM set_config('superset_ext.costs', answers::text, false);
END
$superset_ext$;
SELECT current_setting('superset_ext.costs')
