"""Examples: where a trail is cut, and which entities become labels."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.activity.config import JOBS, SHOPPING, SplitConfig
from components.activity.split import member_split
from components.labels import examples as labels_module
from components.labels.config import ExamplesConfig, WindowsConfig
from components.labels.errors import LabelsError
from components.labels.examples import Examples, build_examples, cut_trails
from components.text.errors import TextError
from components.text.render import entity_text

EVERYBODY = SplitConfig(validation=0, test=0)
EVERY_LABEL = ExamplesConfig(minimum_label_count=1)


@pytest.fixture
def build(tmp_path, write_parts_in):
    def examples(*parts, config=EVERY_LABEL, vertical=JOBS, split=EVERYBODY):
        sessions = write_parts_in(tmp_path / "sessions", *parts)
        build_examples(sessions, tmp_path / "examples", config, vertical, split=split, seed=0)
        return Examples.open(tmp_path / "examples")

    return examples


def searches(member, *queries):
    return [(member, n, "JOB_SEARCH", query) for n, query in enumerate(queries, start=1)]


def named(examples, matrix, row):
    return {
        examples.label_texts[label]: int(value)
        for label, value in zip(matrix[row].indices, matrix[row].data, strict=True)
    }


def cuts(sessions, *, side=0, **config):
    cut = cut_trails(np.array([sessions]), np.array([side]), ExamplesConfig(**config))
    return [
        (int(first), int(end), int(target)) for first, end, target in zip(*cut[1:], strict=True)
    ]


@pytest.mark.parametrize(
    ("sessions", "context_end"),
    [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (9, 7), (10, 8), (63, 50)],
)
def test_the_context_is_four_fifths_of_the_sessions_and_at_least_one(sessions, context_end):
    assert cuts(sessions) == [(0, context_end, sessions)]


def test_the_share_is_exact_where_floating_point_is_not():
    assert cuts(100, context_share=0.29) == [(0, 29, 100)]


def test_windows_run_backwards_from_the_cut_that_every_member_has():
    windows = WindowsConfig(stride=3, minimum_context=4)
    assert cuts(15, windows=windows) == [(0, 6, 8), (0, 9, 12), (0, 12, 15)]
    assert cuts(5, windows=windows) == [(0, 4, 5)]
    assert cuts(2, windows=windows) == [(0, 1, 2)]


def test_a_window_may_bound_its_context_and_its_target():
    windows = WindowsConfig(stride=4, minimum_context=4, maximum_context=6, target_sessions=1)
    assert cuts(15, windows=windows) == [(0, 4, 5), (2, 8, 9), (6, 12, 15)]


@pytest.mark.parametrize("side", [1, 2])
def test_members_kept_out_of_training_make_one_example(side):
    windows = WindowsConfig(stride=1, minimum_context=1)
    assert cuts(15, side=side, windows=windows) == [(0, 12, 15)]


@pytest.mark.parametrize("side", [1, 2])
def test_the_bound_of_a_context_is_the_same_for_members_kept_out_of_training(side):
    windows = WindowsConfig(stride=3, minimum_context=4, maximum_context=10)
    assert cuts(15, side=side, windows=windows) == [(2, 12, 15)]


def test_news_windows_hold_four_to_ten_clicks_and_step_by_three():
    windows = WindowsConfig(stride=3, minimum_context=4, maximum_context=10)
    contexts = [(first, end) for first, end, _ in cuts(25, windows=windows)]
    assert contexts == [(0, 5), (0, 8), (1, 11), (4, 14), (7, 17), (10, 20)]
    assert cuts(3, windows=windows) == [(0, 2, 3)]


def test_an_example_knows_its_member_its_sessions_and_its_side(build):
    split = SplitConfig(validation=0.3, test=0.3)
    members = [f"m{n:02d}" for n in range(30)]
    parts = [searches(member, *["nurse"] * 5) for member in members]
    table = build(sum(parts[:7], []), [], sum(parts[7:], []), split=split).table
    assert table["member_id"].tolist() == members
    expected = member_split(members, seed=0, validation=0.3, test=0.3)
    assert table["split"].tolist() == expected.tolist()
    columns = ("first_session", "context_end", "target_end")
    assert {tuple(int(table[name][row]) for name in columns) for row in range(30)} == {(0, 4, 5)}


def test_only_the_verticals_label_actions_make_labels(build):
    examples = build(
        [
            ("ann", 1, "JOB_SEARCH", "Data  Engineer"),
            ("ann", 1, "VIEW", "Acme Inc", "Welder"),
            ("ann", 2, "APPLY", "Acme Inc", "Nurse"),
        ]
    )
    kinds = dict(zip(examples.label_texts, examples.label_kinds, strict=True))
    assert kinds == {"data engineer": "query", "c_acme_inc nurse": "entity"}


def test_a_vertical_may_name_postings_by_title_alone(build):
    rows = [("ann", 1, "PURCHASE", "Brand", "Soup"), ("ann", 2, "PURCHASE", "Other", "soup ")]
    examples = build(rows, vertical=SHOPPING)
    assert examples.label_texts == ["soup"]
    assert named(examples, examples.context, 0) == {"soup": 1}


def test_actions_without_a_text_make_no_label(build):
    examples = build([*searches("ann", "nurse", None, " "), ("bob", 1, "APPLY", None, None)])
    assert examples.label_texts == ["nurse"]
    assert len(examples) == 2


def test_a_query_and_a_posting_of_the_same_text_are_two_labels(build):
    examples = build([("ann", 1, "JOB_SEARCH", "nurse"), ("ann", 1, "APPLY", None, "Nurse")])
    assert list(zip(examples.label_texts, examples.label_kinds, strict=True)) == [
        ("nurse", "entity"),
        ("nurse", "query"),
    ]


def test_the_context_ranks_labels_by_their_last_occurrence(build):
    examples = build(searches("ann", "nurse", "welder", "nurse", "clerk", "pilot"))
    assert named(examples, examples.context, 0) == {"welder": 1, "nurse": 2, "clerk": 3}
    assert named(examples, examples.context_counts, 0) == {"nurse": 2, "welder": 1, "clerk": 1}
    assert named(examples, examples.target, 0) == {"pilot": 1}


def test_a_label_too_rare_to_keep_leaves_no_gap_in_the_ranks(build):
    config = ExamplesConfig(minimum_label_count=2)
    rows = searches("ann", "nurse", "rare", "clerk", "x") + searches("bob", "clerk", "nurse")
    examples = build(rows, config=config)
    assert named(examples, examples.context, 0) == {"nurse": 1, "clerk": 2}


def test_labels_are_ordered_by_training_examples_then_by_text(build):
    rows = searches("ann", "b", "c", "c", "c") + searches("bob", "c", "a") + searches("cy", "b")
    examples = build(rows)
    assert examples.label_texts == ["b", "c", "a"]
    assert examples.label_counts.tolist() == [2, 2, 1]


def test_labels_come_from_training_members_alone(build):
    split = SplitConfig(validation=0.3, test=0.3)
    members = [f"m{n:02d}" for n in range(40)]
    examples = build(
        [row for member in members for row in searches(member, f"only {member}", "all")],
        split=split,
    )
    sides = member_split(members, seed=0, validation=0.3, test=0.3)
    training = [f"only {member}" for member, side in zip(members, sides, strict=True) if side == 0]
    assert examples.label_texts == ["all", *training]
    assert examples.label_counts.tolist() == [len(training)] + [1] * len(training)


def test_a_label_needs_enough_members_however_many_their_windows(build):
    config = ExamplesConfig(
        minimum_label_count=2, windows=WindowsConfig(stride=1, minimum_context=1)
    )
    rows = searches("ann", *["mine", "ours"] * 5) + searches("bob", "ours")
    examples = build(rows, config=config)
    assert examples.label_texts == ["ours"]
    assert examples.label_counts.tolist() == [9]


def test_no_label_frequent_enough_is_an_error(build, tmp_path):
    with pytest.raises(LabelsError, match="minimum_label_count=2"):
        build(searches("ann", "nurse"), config=ExamplesConfig(minimum_label_count=2))
    assert not (tmp_path / "examples").exists()


@pytest.fixture
def four_members(build):
    return build(
        searches("ann", "nurse", "welder", "nurse", "pilot")
        + [("bob", n, "APPLY", None, "clerk") for n in (1, 2)]
        + searches("cy", "nurse", "nurse")
        + [("dee", 1, "VIEW", None, "clerk")]
    )


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("D1", {"ann": {"pilot"}, "bob": {"clerk"}, "cy": {"nurse"}}),
        ("D1-new", {"ann": {"pilot"}}),
        ("D2", {"ann": {"nurse", "welder", "pilot"}, "bob": {"clerk"}, "cy": {"nurse"}}),
        ("D3", {"bob": {"clerk"}}),
    ],
)
def test_a_data_set_is_the_examples_that_have_its_labels(four_members, dataset, expected):
    rows, y = four_members.select(dataset, "train")
    found = {
        four_members.table["member_id"][row]: set(named(four_members, y, place))
        for place, row in enumerate(rows)
    }
    assert found == expected
    assert y.dtype == np.float32
    assert set(y.data) == {1}
    assert y.shape == (len(rows), len(four_members.label_texts))


def test_some_examples_keep_their_labels(four_members):
    rows = np.array([1, 3])
    some = four_members.take(rows)
    assert some.table["member_id"].tolist() == four_members.table["member_id"][rows].tolist()
    assert (some.target != four_members.target[rows]).nnz == 0
    assert some.label_texts == four_members.label_texts


def test_a_side_without_members_is_empty(four_members):
    rows, y = four_members.select("D2", "test")
    assert len(rows) == 0
    assert y.shape == (0, len(four_members.label_texts))


def test_an_unknown_data_set_or_split_is_refused(four_members):
    with pytest.raises(LabelsError, match="'D4'"):
        four_members.select("D4", "train")
    with pytest.raises(LabelsError, match="'dev'"):
        four_members.select("D1", "dev")


def test_whoever_searched_once_in_the_whole_trail_has_searched(build):
    applies = [("ann", n, "APPLY", None, "clerk") for n in range(1, 10)]
    examples = build(
        [*applies, ("ann", 10, "JOB_SEARCH", None), ("bob", 1, "APPLY", None, "clerk")]
    )
    assert examples.table["searched"].tolist() == [True, False]


ACTIONS = st.one_of(
    st.tuples(st.just("JOB_SEARCH"), st.sampled_from(["a", "B ", "c", None])),
    st.tuples(
        st.sampled_from(["APPLY", "VIEW"]),
        st.sampled_from([None, "Acme", "acme "]),
        st.sampled_from(["x", "Y", None]),
    ),
)
TRAILS = st.lists(st.lists(ACTIONS, min_size=1, max_size=12), min_size=1, max_size=8)
CONFIGS = st.builds(
    ExamplesConfig,
    minimum_label_count=st.integers(1, 2),
    windows=st.one_of(
        st.none(),
        st.builds(
            WindowsConfig,
            stride=st.integers(1, 3),
            minimum_context=st.integers(1, 3),
            maximum_context=st.one_of(st.none(), st.integers(1, 3)),
            target_sessions=st.one_of(st.none(), st.integers(1, 2)),
        ),
    ),
)


@settings(max_examples=60, deadline=None)
@given(trails=TRAILS, config=CONFIGS, rows_at_once=st.sampled_from([8, 16, 8_000_000]))
def test_the_matrices_are_what_a_plain_loop_over_the_sessions_finds(
    trails, config, rows_at_once, tmp_path_factory, write_parts_in
):
    home = tmp_path_factory.mktemp("examples")
    split = SplitConfig(validation=0.2, test=0.2)
    # Two actions a session; the last may have one.
    rows = [
        (f"m{number}", 1 + place // 2, *action)
        for number, trail in enumerate(trails)
        for place, action in enumerate(trail)
    ]
    sessions = write_parts_in(home / "sessions", rows)
    table = plain_table(rows, split, config)
    expected_labels = plain_labels(rows, table, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_module, "_ROWS_AT_ONCE", rows_at_once)
        try:
            build_examples(sessions, home / "examples", config, JOBS, split=split, seed=0)
        except LabelsError:
            assert not expected_labels
            return
    examples = Examples.open(home / "examples")
    assert {name: examples.table[name].tolist() for name in table} == table

    found = zip(
        examples.label_texts, examples.label_kinds, examples.label_counts.tolist(), strict=True
    )
    assert list(found) == expected_labels
    keys = list(zip(examples.label_texts, examples.label_kinds, strict=True))
    for row in range(len(examples)):
        context, target = plain_example(rows, examples.table, row)
        context = [label for label in context if label in keys]
        last = sorted(set(context), key=lambda label: len(context) - context[::-1].index(label))
        assert dense(examples.context, row, keys) == {
            label: rank for rank, label in enumerate(last, start=1)
        }
        assert dense(examples.context_counts, row, keys) == Counter(context)
        assert dense(examples.target, row, keys) == dict.fromkeys(set(target) & set(keys), 1)


def dense(matrix, row, keys):
    return {keys[at]: int(value) for at, value in enumerate(matrix[row].toarray()[0]) if value}


def plain_example(rows, table, example):
    member, first, cut, end = (
        table[name][example] for name in ("member_id", "first_session", "context_end", "target_end")
    )
    context, target = [], []
    for owner, session, action, *texts in rows:
        if owner == member and action != "VIEW" and first <= session - 1 < end:
            text = (
                (entity_text(query=texts[0]), "query")
                if action == "JOB_SEARCH"
                else (entity_text(company=texts[0], title=texts[1]), "entity")
            )
            if text[0]:
                (context if session - 1 < cut else target).append(text)
    return context, target


def plain_table(rows, split, config):
    members = list(dict.fromkeys(row[0] for row in rows))
    sides = member_split(members, seed=0, validation=split.validation, test=split.test)
    sessions = np.array([max(row[1] for row in rows if row[0] == member) for member in members])
    cut = cut_trails(sessions, sides, config)
    return {
        "member_id": [members[at] for at in cut.member],
        "split": sides[cut.member].tolist(),
        "first_session": cut.first_session.tolist(),
        "context_end": cut.context_end.tolist(),
        "target_end": cut.target_end.tolist(),
    }


def plain_labels(rows, table, config):
    owners, examples = defaultdict(set), Counter()
    for example, side in enumerate(table["split"]):
        if side == 0:
            context, target = plain_example(rows, table, example)
            for label in set(context + target):
                owners[label].add(table["member_id"][example])
                examples[label] += 1
    kept = [label for label in examples if len(owners[label]) >= config.minimum_label_count]
    kept.sort(key=lambda label: (-examples[label], *label))
    return [(*label, examples[label]) for label in kept]


@pytest.mark.parametrize(
    "name", ["examples.parquet", "labels.parquet", "context.npz", "target.npz"]
)
def test_a_damaged_or_missing_file_is_named(build, tmp_path, name):
    build(searches("ann", "nurse"))
    path = tmp_path / "examples" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(LabelsError, match=f"{name}: cannot be read"):
        Examples.open(tmp_path / "examples")
    path.unlink()
    with pytest.raises(LabelsError, match=f"{name}: cannot be read"):
        Examples.open(tmp_path / "examples")


def test_files_of_two_runs_are_not_mixed(build, tmp_path, write_parts_in):
    build(searches("ann", "nurse"))
    sessions = write_parts_in(tmp_path / "other", searches("bob", "welder", "pilot"))
    build_examples(sessions, tmp_path / "two", EVERY_LABEL, JOBS, split=EVERYBODY, seed=0)
    (tmp_path / "two/target.npz").replace(tmp_path / "examples/target.npz")
    with pytest.raises(LabelsError, match=r"target\.npz"):
        Examples.open(tmp_path / "examples")


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ([], LabelsError, "holds no session parts"),
        ([[]], LabelsError, "holds no actions"),
        ([[("ann", 1, "DANCE", "x")]], LabelsError, r"part-00000\.parquet: action 'DANCE'"),
        ([searches("b", "x") + searches("a", "x")], TextError, "not sorted: 'a'"),
    ],
    ids=["no parts", "empty part", "unknown action", "unsorted"],
)
def test_unusable_sessions_are_refused(build, parts, error, message):
    with pytest.raises(error, match=message):
        build(*parts)
