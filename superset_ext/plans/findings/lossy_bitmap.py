"""A bitmap that did not fit into memory, so that whole pages are looked at again."""

from __future__ import annotations

from collections.abc import Iterator

from superset_ext.plans.case import Case, Finding, No, Verdict

KIND = "lossy_bitmap"
SHARE = 0.2  # of the pages


def lossy_bitmap(case: Case) -> Iterator[Verdict]:
    """A bitmap heap scan that has lost which rows of a page it wants."""
    for node in case.plan.nodes():
        lossy, exact = node.number_of("Lossy Heap Blocks"), node.number_of("Exact Heap Blocks")
        if node.kind != "Bitmap Heap Scan" or not lossy:
            continue
        share = case.plan.share(node)
        what = f"The bitmap of {node.relation} kept no rows of {lossy:,.0f} of {lossy + exact:,.0f} pages"
        if lossy < SHARE * (lossy + exact):
            yield No(KIND, node.number, f"{what}: few enough.")
            continue
        yield Finding(
            KIND, node.number, f"{what}, so that all rows there are looked at again.",
            {"lossy": lossy, "exact": exact, "share": share},
            "With more work_mem for the role of the charts it would stay exact.", share * lossy / (lossy + exact) / 2,
            "likely", "ALTER ROLE … SET work_mem = …",
        )  # fmt: skip
