-- Latency histograms that can be merged.
--
-- A histogram is a bigint[] of pairs: bucket, count, bucket, count, … by rising bucket; empty is NULL.
-- Bucket b holds the latencies in (0.01 ms * g^(b-1), 0.01 ms * g^b] with g = 1.05 / 0.95, bucket 0 those
-- up to 0.01 ms, bucket 239 all above 61 hours. A quantile read from it is within 5 % of the
-- exact one (within 0.01 ms in bucket 0). The scheme is that of DDSketch (Masson, Rim, Lee: "DDSketch: a
-- fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
-- superset_ext/monitor/histogram.py fills the buckets; a test holds the two together.

CREATE OR REPLACE FUNCTION superset_ext.histogram_value(bucket bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN bucket <= 0 THEN 0.01::float8 ELSE 0.01::float8 * 0.95 * power(1.05::float8 / 0.95, bucket) END $$;

COMMENT ON FUNCTION superset_ext.histogram_value(bigint) IS 'The latency, in milliseconds, that stands for a bucket: within 5 % of all that it holds.';

CREATE OR REPLACE FUNCTION superset_ext.histogram_quantile(hist bigint[], q double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    rank double precision := 0;
    seen bigint := 0;
BEGIN
    IF q < 0 OR q > 1 THEN
        RAISE EXCEPTION 'histogram_quantile: % is no quantile; give one from 0 to 1', q;
    END IF;
    FOR i IN 2 .. COALESCE(array_length(hist, 1), 0) BY 2 LOOP
        rank := rank + hist[i];
    END LOOP;
    rank := floor(q * (rank - 1));
    FOR i IN 2 .. COALESCE(array_length(hist, 1), 0) BY 2 LOOP
        seen := seen + hist[i];
        IF seen > rank THEN
            RETURN superset_ext.histogram_value(hist[i - 1]);
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION superset_ext.histogram_quantile(bigint[], double precision) IS 'The q-quantile (0 to 1) of a histogram in milliseconds, within 5 % of the exact one; NULL of an empty one.';

-- The state of the aggregate has one element a bucket, so that a row is added without sorting.
CREATE OR REPLACE FUNCTION superset_ext.histogram_add(state bigint[], hist bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF state IS NULL THEN
        state := array_fill(0::bigint, ARRAY[240]);
    END IF;
    FOR i IN 1 .. COALESCE(array_length(hist, 1), 0) BY 2 LOOP
        state[hist[i] + 1] := state[hist[i] + 1] + hist[i + 1];
    END LOOP;
    RETURN state;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_combine(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN a IS NULL THEN b
        WHEN b IS NULL THEN a
        ELSE (SELECT array_agg(x + y ORDER BY i) FROM unnest(a, b) WITH ORDINALITY AS t (x, y, i))
    END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_pairs(state bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT array_agg(CASE part WHEN 1 THEN bucket - 1 ELSE n END ORDER BY bucket, part)
    FROM unnest(state) WITH ORDINALITY AS t (n, bucket) CROSS JOIN generate_series(1, 2) AS part
    WHERE n > 0
$$;

CREATE OR REPLACE AGGREGATE superset_ext.histogram_merge(bigint[]) (
    SFUNC = superset_ext.histogram_add,
    STYPE = bigint[],
    COMBINEFUNC = superset_ext.histogram_combine,
    FINALFUNC = superset_ext.histogram_pairs,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE superset_ext.histogram_merge(bigint[]) IS 'The sum of histograms, itself a histogram; NULLs count as empty.';
