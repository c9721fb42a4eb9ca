"""Charts that are answered from aggregates, where a rule of the settings allows it.

**The argument** why an answer is what Superset's own statement would give to the same person at that moment.

1. The text follows from the statement (`aggregates.match`), which has the row-level rules of who asks as predicates: on
   a column that the aggregate keeps they are applied, on another one they refuse.
2. Text and guard see one snapshot of the source (`guard.py`). There the aggregate has to be exact: no note of a change
   is seen, and its base, its parts and our triggers are what they were. Or it is younger than a rule allows, and the
   answer is then stored as of the aggregate's time, so that a change that was told since drops it.
3. In the same transaction the source has checked Superset's own statement, without running it: its role may read all
   that is named there, and the names mean the tables that the aggregate is made of. Row security, impersonation, views,
   replicas and another time zone refuse.
4. Both texts were compared before the first answer, and a sample is afterwards (`plans.compared`). A difference
   switches the aggregate off in all processes and drops its answers.
5. An answer depends on all that Superset's own statement reads, so that what drops that one's drops this one's.

What fails is answered by Superset's own statement. Nothing is asked of a source while somebody waits but the guard.
"""
