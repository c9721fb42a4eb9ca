-- Latency histograms that can be merged.
--
-- A histogram is a bigint[] of pairs: bucket, count, bucket, count, … by rising bucket; empty is NULL.
-- Bucket b holds the latencies in (0.01 ms * g^(b-1), 0.01 ms * g^b] with g = 1.05 / 0.95, bucket 0 those
-- up to 0.01 ms, bucket 239 all above 61 hours. A quantile read from it is within 5 % of the
-- exact one (within 0.01 ms in bucket 0). The scheme is that of DDSketch (Masson, Rim, Lee: "DDSketch: a
-- fast and fully-mergeable quantile sketch with relative-error guarantees", VLDB 2019).
-- superset_ext/monitor/log/histogram.py fills the buckets; a test compares the two.

CREATE OR REPLACE FUNCTION superset_ext.histogram_value(bucket bigint) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT CASE WHEN bucket <= 0 THEN 0.01::float8 ELSE 0.01::float8 * 0.95 * power(1.05::float8 / 0.95, bucket) END $$;

COMMENT ON FUNCTION superset_ext.histogram_value(bigint) IS 'The latency, in milliseconds, that stands for a bucket: within 5 % of all latencies in it.';

CREATE OR REPLACE FUNCTION superset_ext.histogram_of(ms double precision) RETURNS bigint[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT ARRAY[
        CASE
            WHEN NOT (ms > 0.01 AND ms < 'Infinity') THEN CASE WHEN ms = 'Infinity' THEN 239 ELSE 0 END
            ELSE least(ceil(ln(ms / 0.01) / ln(1.05::float8 / 0.95)), 239)
        END::bigint,
        1
    ]
$$;

COMMENT ON FUNCTION superset_ext.histogram_of(double precision) IS 'The histogram of one time in milliseconds.';

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
    -- As percentile_disc: the least value that a share of q is at most, so that few values do not look quicker than they
    -- were. What a float adds to a whole number is taken off.
    rank := greatest(ceil(q * rank - 1e-9) - 1, 0);
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

CREATE OR REPLACE FUNCTION superset_ext.histogram_total(hist bigint[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    total double precision := 0;
BEGIN
    FOR i IN 1 .. coalesce(cardinality(hist), 0) BY 2 LOOP
        total := total + superset_ext.histogram_value(hist[i]) * hist[i + 1];
    END LOOP;
    RETURN total;
END
$$;

COMMENT ON FUNCTION superset_ext.histogram_total(bigint[]) IS 'The sum of the times in a histogram, in milliseconds, within 5 %.';

-- The aggregate is made for many groups of few rows. Its state is the first row's histogram as it is, an even number of
-- elements. From the second row on it is the counts of all 240 buckets, then the first and the last bucket in use, and
-- one more element, so that the number is odd.
CREATE OR REPLACE FUNCTION superset_ext.histogram_add(state bigint[], hist bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    first_row bigint[];
    size int := cardinality(hist);
BEGIN
    IF coalesce(size, 0) = 0 THEN
        RETURN state;
    ELSIF state IS NULL THEN
        RETURN hist;
    ELSIF cardinality(state) % 2 = 0 THEN
        first_row := state;
        state := array_fill(0::bigint, ARRAY[243]);
        state[241] := 240;
        state := superset_ext.histogram_add(state, first_row);
    END IF;
    FOR i IN 1 .. size BY 2 LOOP
        state[hist[i] + 1] := state[hist[i] + 1] + hist[i + 1];
    END LOOP;
    state[241] := least(state[241], hist[1] + 1);
    state[242] := greatest(state[242], hist[size - 1] + 1);
    RETURN state;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_pairs(state bigint[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    pairs bigint[];
BEGIN
    IF state IS NULL OR cardinality(state) % 2 = 0 THEN
        RETURN state;
    END IF;
    FOR i IN state[241] .. state[242] LOOP
        IF state[i] > 0 THEN
            pairs := pairs || (i - 1)::bigint || state[i];
        END IF;
    END LOOP;
    RETURN pairs;
END
$$;

CREATE OR REPLACE FUNCTION superset_ext.histogram_combine(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN a IS NULL OR cardinality(a) % 2 = 0 THEN superset_ext.histogram_add(b, a)
        ELSE superset_ext.histogram_add(a, superset_ext.histogram_pairs(b))
    END
$$;

CREATE OR REPLACE AGGREGATE superset_ext.histogram_merge(bigint[]) (
    SFUNC = superset_ext.histogram_add,
    STYPE = bigint[],
    COMBINEFUNC = superset_ext.histogram_combine,
    FINALFUNC = superset_ext.histogram_pairs,
    PARALLEL = SAFE
);

COMMENT ON AGGREGATE superset_ext.histogram_merge(bigint[]) IS 'The sum of histograms, itself a histogram; NULL counts as empty.';

CREATE OR REPLACE FUNCTION superset_ext.histogram_sum(a bigint[], b bigint[]) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT superset_ext.histogram_pairs(superset_ext.histogram_add(superset_ext.histogram_add(NULL, a), b)) $$;

COMMENT ON FUNCTION superset_ext.histogram_sum(bigint[], bigint[]) IS 'The sum of two histograms; NULL counts as empty.';
